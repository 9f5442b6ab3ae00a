"""Verdicts as text."""

import textwrap

from .checking import Checked, counts
from .flags import OK

WIDTH = 84  # columns of a code block in the book


def table(checked: list[Checked], everything: bool = True) -> str:
    """A line a flag: number, status, flag as written; below it what works and why. `everything=False` hides ok."""
    out = []
    for one in checked:
        out.append(f"{one.command.tool} (line {one.command.line})")
        for v in one.verdicts:
            if v.status == OK and not everything:
                continue
            out.append(f"  {v.line:4d}  {v.status:9s}  {' '.join(x for x in (v.flag, v.value) if x)}")
            if v.status != OK or v.reason:
                arrow = f"→ {v.working}" if v.working else "→ leave it out" if v.status != OK else ""
                for text in (arrow if v.status != OK else "", f"{v.reason} [{v.source}]"):
                    out += textwrap.wrap(text, WIDTH, initial_indent=" " * 19, subsequent_indent=" " * 19)
        out.append("")
    out.append(", ".join(f"{n} {s}" for s, n in counts(checked).items()))
    return "\n".join(out)
