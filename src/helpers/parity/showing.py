"""Rows as text, as HTML, as plain dicts; a difference stands side by side."""

import html
from dataclasses import asdict

from .cases import Row


def table(rows: list[Row], tokenizer, colour: bool = False) -> str:
    """A line a dialogue: equal or not, tokens, sources; a difference side by side below it."""
    out = []
    for row in rows:
        lengths = "/".join(str(n) for n in dict.fromkeys(len(v) for v in row.ids.values()))
        out.append(f"{'equal' if row.equal else 'DIFFERS':8s} {lengths:>5s} tokens  {len(row.ids)} sources  {row.name}")
        out += [x for x in (row.note and f"         {row.note}", side_by_side(row, tokenizer, colour=colour)) if x]
    return "\n".join(out)


def side_by_side(row: Row, tokenizer, around: int = 4, colour: bool = False) -> str:
    """The tokens of each source around the first difference, the differing one marked; '' if all are equal."""
    if row.differs is None:
        return ""
    one, other, at = row.differs
    out = [f"{row.name}: token {at} differs"]
    for name in (one, other):
        words = [repr(tokenizer.decode([i]))[1:-1] for i in row.ids[name]]
        marked = [_marked(w, colour) for w in words[at : at + 1]]
        part = [*words[max(at - around, 0) : at], *marked, *words[at + 1 :][:around]]
        out.append(f"  {name:22s} {len(words):4d} tokens  …" + "·".join(part))
    return "\n".join(out)


def as_html(row: Row, tokenizer) -> str:
    """`side_by_side` for a page, in colour."""
    text = html.escape(side_by_side(row, tokenizer)).replace("⟦", '<mark style="background:#f6c1b5">')
    return f"<pre>{text.replace('⟧', '</mark>')}</pre>"


def as_dicts(rows: list[Row]) -> list[dict]:
    """Rows as plain dicts, for JSON."""
    return [{**asdict(r), "equal": r.equal, "differs": r.differs} for r in rows]


def summary(rows: list[Row]) -> list[dict]:
    """A row a dialogue: tokens, number of sources, whether all ids are equal, a note."""
    return [
        {
            "dialogue": r.name,
            "tokens": len(next(iter(r.ids.values()))),
            "sources": len(r.ids),
            "equal": r.equal,
            "note": r.note,
        }
        for r in rows
    ]


def _marked(word: str, colour: bool) -> str:
    return f"\033[41m{word}\033[0m" if colour else f"⟦{word}⟧"
