"""Labelled turns to learn the flags from: `data/wordings/learn.jsonl`, and our own dialogues as ordinary ones."""

from ..profile import ROOT
from .reading import written
from .wordings import FOLDER, sentences

LEARN = FOLDER / "learn.jsonl"
CALM = [ROOT / "data" / name for name in ("train.jsonl", "val.jsonl")]
DIRTY = ROOT / "data" / "dirty" / "dirty_base.jsonl"
OURS = 0  # the author of our own cases, which the lexicon was made with
SIDES = {"crisis": "visitor", "medication": "counsellor", "diagnosis": "counsellor"}
LONG = 60  # characters of a turn that tells of more than one thing


def labelled(code: str) -> list[dict]:
    """Turns with and without the flag. Of ordinary turns those count whose speaker the flag looks at."""
    rows = [r for r in written(LEARN) if r["code"] == code]
    rows += [r | {"is_one": False} for r in ordinary(code)]
    speaker = {"visitor": "human", "counsellor": "gpt"}[SIDES[code]]
    calm = [r for file in CALM for r in written(file) if not r.get("risk")]
    ours = [(t["value"], False) for r in calm for t in r["conversations"] if t["from"] == speaker]
    ours += planted(code, speaker)
    return rows + [{"code": "ordinary", "is_one": is_one, "by": OURS, "text": text} for text, is_one in ours]


def ordinary(code: str) -> list[dict]:
    """Ordinary turns of the side that the flag looks at."""
    return [r for r in written(LEARN) if r["code"] == "ordinary" and r["side"] == SIDES[code]]


def among(rows: list[dict], others: list[dict]) -> list[dict]:
    """Each short turn among the sentences of an ordinary one, as danger may stand in a turn about other things."""
    long = [sentences(r["text"]) for r in others if len(r["text"]) >= LONG]
    made = []
    for number, row in enumerate(r for r in rows if r["code"] != "ordinary" and len(r["text"]) < LONG):
        around = long[number % len(long)]
        place = 1 + number % len(around)
        made.append(row | {"code": "among", "text": "".join([*around[:place], row["text"], *around[place:]])})
    return made


def planted(code: str, speaker: str) -> list[tuple[str, bool]]:
    """What one side says in a dialogue of the dirty file, before it was damaged, and whether the flag was planted."""
    said = [
        ("\n".join(text for who, text in r.get("turns", []) if who == speaker), code in r["codes"])
        for r in written(DIRTY)
    ]
    return [(text, is_one) for text, is_one in said if text]
