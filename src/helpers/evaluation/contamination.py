"""Evaluation items that the model has seen in training: found, listed, and left out of every score."""

from collections.abc import Sequence
from pathlib import Path

from ..inspection import rules
from ..inspection.duplicates import GRAM, Others, grams
from . import testset

LEAST = 6  # letters; a shorter question says too little to be called a repetition


def guard(rows: Sequence[dict], training: Path) -> tuple[list[dict], list[dict]]:
    """Split evaluation rows into those that are new to the model and those that its training data repeats.

    The measure is that of page 2 (`inspection.duplicates`): character trigrams, without punctuation. A row is left out
    when it is nearly the same as a training dialogue, lies nearly whole within one, or holds one.

    Args:
        rows: of `testset.collect`.
        training: ms-swift's JSONL of `messages`.

    Returns:
        The rows that stay, in order; the others as `id`, `part`, `same_as` (the training dialogue's id, or its line).
    """
    seen = {}
    for line, row in enumerate(testset.load(training), 1):
        said = [m["content"] for m in row["messages"] if m["role"] != "system"]
        seen[f"{row.get('id', 'line')}:{line}"] = rules.letters("".join(said))
    known, kept, left = Others(seen, {}), [], []
    for row in rows:
        same = _repeated(rules.letters(text(row)), known, seen)
        if same:
            left.append({"id": row["id"], "part": row["part"], "same_as": same})
        else:
            kept.append(row)
    return kept, left


def text(row: dict) -> str:
    """What must be new in a row: a dialogue with its reference, a quiz question, a safety prompt."""
    if row["part"] != "dialogue":
        return row.get("prompt") or row["question"]
    return "".join(m["content"] for m in row["messages"] if m["role"] != "system") + row["reference"]


def _repeated(letters: str, known: Others, seen: dict[str, str]) -> str | None:
    if len(letters) < LEAST:
        return None
    found = known.repeated_by(grams(letters))
    if found or len(letters) >= 16 + GRAM:
        return found
    return next((name for name, whole in seen.items() if letters in whole), None)  # too short for a share of trigrams
