"""What both models are asked: quiz questions, held-out dialogues, safety prompts; the same ones for the same seed."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def collect(val: Path, quiz: Path, safety: Path, options: dict, system: str, seed: int) -> list[dict]:
    """All rows of an evaluation, each with `part` (quiz, dialogue, safety) and `id`.

    Dialogue and safety rows carry `messages`, ready for a chat endpoint; dialogue rows also a `reference`.

    Args:
        options: the `eval` section of a profile (`quiz_rows`, `multiple_rows`, `dialogue_rows`, `safety_rows`).
        system: the system prompt that the model was trained with.
    """
    questions = [{"kind": "single"} | row for row in load(quiz)]
    prompts = take(load(safety), "category", options["safety_rows"], seed)
    counts = {"single": options["quiz_rows"], "multiple": options["multiple_rows"]}
    asked = {kind: take((q for q in questions if q["kind"] == kind), "subject", n, seed) for kind, n in counts.items()}
    return [
        *({"part": "quiz", **row} for rows in asked.values() for row in rows),
        *dialogues(load(val)[: options["dialogue_rows"]], system),
        *({"part": "safety", **row, "messages": opening(row["prompt"], system)} for row in prompts),
    ]


def load(file: Path) -> list[dict]:
    """The rows of a JSONL file.

    Raises:
        UserError: the file is missing or empty, or a line is not JSON.
    """
    if not file.is_file():
        raise UserError(f"{file} does not exist; give another path in the profile's section `eval`.")
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                raise UserError(f"{file} line {number} is not JSON; every line must be one object.") from None
    if not rows:
        raise UserError(f"{file} holds no rows; nothing can be scored with it.")
    return rows


def take(rows: Iterable[dict], by: str, count: int, seed: int) -> list[dict]:
    """Up to `count` rows, evenly from each value of field `by`, the same ones for the same seed.

    Rows without the field form a group of their own.
    """
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(str(row.get(by)), []).append(row)
    for name in sorted(groups):
        random.Random(f"{seed} {name}").shuffle(groups[name])  # of its own: a new group leaves the others' draw alone
    picked = []
    while len(picked) < count and any(groups.values()):
        for name in sorted(groups):
            if groups[name] and len(picked) < count:
                picked.append(groups[name].pop())
    return picked


def opening(prompt: str, system: str) -> list[dict]:
    """A conversation of one question, as chat messages."""
    return [{"role": "system", "content": system}, {"role": "user", "content": prompt}]


def turns(rows: list[dict], system: str) -> list[dict]:
    """Every counsellor turn of every dialogue as a row of its own, with what was said before it; none is generated.

    So a dialogue of m exchanges asks for m replies, and each continues the written dialogue, not the model's own one.

    Args:
        rows: as `benchmarks.cpsycoune` reads them.
    """
    made = []
    for row in rows:
        talk = row["messages"] if row["messages"][0]["role"] == "system" else [*_system(system), *row["messages"]]
        replies = [place for place, t in enumerate(talk) if t["role"] == "assistant"]
        for number, place in enumerate(replies, 1):
            if any(t["role"] == "user" for t in talk[:place]):  # an opening of the counsellor answers nobody
                made.append(
                    {"part": "dialogue", "id": f"{row['id']}/{number}", "talk": row["id"], "topic": row.get("topic")}
                    | {"messages": talk[:place], "reference": talk[place]["content"]}
                )
    return made


def _system(system: str) -> list[dict]:
    return [{"role": "system", "content": system}] if system else []


def dialogues(rows: list[dict], system: str) -> list[dict]:
    """Held-out dialogues up to the last counsellor turn, which becomes the reference.

    Args:
        rows: ShareGPT (`conversations` of `from`/`value`) or messages (`messages` of `role`/`content`).
    """
    made = []
    for number, row in enumerate(rows, 1):
        turns = [
            {"role": _ROLES.get(t.get("from", t.get("role"))), "content": t.get("value", t.get("content")) or ""}
            for t in row.get("conversations") or row.get("messages") or []
        ]
        while turns and turns[-1]["role"] != "assistant":
            turns.pop()
        if len(turns) < 2 or any(t["role"] is None for t in turns):
            continue
        before = turns[:-1] if turns[0]["role"] == "system" else [{"role": "system", "content": system}, *turns[:-1]]
        name = row.get("id") or f"val-{number:03d}"
        made.append({"part": "dialogue", "id": name, "messages": before, "reference": turns[-1]["content"]})
    return made
