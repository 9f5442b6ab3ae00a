"""Looking through what an inspection found: filter by code, page through rows, the difference marked."""

import difflib
import html
from pathlib import Path

from .reading import written

_GONE, _NEW = "background:#ffd9d6;color:#111", "background:#cdeccd;color:#111"


def findings(out: Path) -> list[dict]:
    """All findings in a folder that an inspection wrote: `line`, `code`, `before`, `after`, in the order of lines."""
    found = []
    for row in written(out / "quarantine.jsonl"):
        found += [_finding(row, code, row["row"]) for code in row["reasons"]]
    for row in written(out / "repairs.jsonl"):
        found += [_finding(row, r["code"], r["before"], r["after"]) for r in row["repairs"]]
    clean = {(r.get("file"), r["line"]): r["messages"] for r in written(out / "clean.jsonl")}
    for row in written(out / "flags.jsonl"):
        told = "\n".join(f"{m['role']}: {m['content']}" for m in clean[row.get("file"), row["line"]])
        found += [_finding(row, code, told) for code in row["flags"]]
    return sorted(found, key=lambda f: f["line"])


def _finding(row: dict, code: str, before: str, after: str | None = None) -> dict:
    return {"line": row["line"], "code": code, "before": before, "after": after, "same_as": row.get("same_as")}


def difference(before: str, after: str) -> str:
    """HTML of both texts, what goes and what comes on a coloured ground; invisible characters by their number."""
    old, new = [], []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        old.append(_span(before[a:b], _GONE if kind != "equal" else ""))
        new.append(_span(after[c:d], _NEW if kind != "equal" else ""))
    return f"<p>− {''.join(old)}<br>+ {''.join(new)}</p>"


def _span(text: str, style: str) -> str:
    shown = "".join(html.escape(c) if c.isprintable() or not style else f"U+{ord(c):04X} " for c in text)
    return f'<span style="{style}">{shown}</span>' if style and text else shown


def card(finding: dict) -> str:
    """HTML of one finding."""
    head = f"<b>row {finding['line']}: {finding['code']}</b>"
    if finding["same_as"]:
        head += f" ({html.escape(finding['same_as'])})"
    if finding["after"] is not None:
        return head + difference(finding["before"], finding["after"])
    return f"{head}<p>{_span(finding['before'][:600], '').replace(chr(10), '<br>')}</p>"


def explorer(out: Path, page: int = 5):
    """A widget: choose a code, page through its rows."""
    from ipywidgets import HTML, BoundedIntText, Dropdown, HBox, VBox

    found = findings(out)
    codes = sorted({f["code"] for f in found})
    code = Dropdown(options=codes or ["nothing found"], description="code")
    number = BoundedIntText(value=1, min=1, max=1, description="page")
    view = HTML()

    def show(_=None):
        rows = [f for f in found if f["code"] == code.value]
        number.max = max(1, -(-len(rows) // page))
        start = (number.value - 1) * page
        view.value = f"{len(rows)} rows" + "".join(map(card, rows[start : start + page]))

    def first(_):
        number.value = 1
        show()

    code.observe(first, "value")
    number.observe(show, "value")
    show()
    return VBox([HBox([code, number]), view])
