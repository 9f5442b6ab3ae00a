"""Ratings of answers by people: each click is in an SQLite file before the next, and leaves as JSONL.

Two answers to one question are shown side by side and without names. What a rater gives each of them, on the axes of
`evaluation.rubric`, and which one is better, is kept under a hash of the texts: it stays right when a model is trained
again and answers otherwise. Introduced in notebook 08.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..evaluation.rubric import AXES
from ..run import Run

ORIGIN = "rated in the notebook"
BETTER = "better"  # beside the axes: which of the two
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (id TEXT PRIMARY KEY, item TEXT, model TEXT, messages TEXT, answer TEXT);
CREATE TABLE IF NOT EXISTS clicks (number INTEGER PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP,
                                   rater TEXT, about TEXT, axis TEXT, value);
"""
_LAST = """
SELECT about, axis, value FROM clicks
WHERE number IN (SELECT max(number) FROM clicks WHERE rater = ? GROUP BY about, axis) ORDER BY number
"""


def folder(run: Run) -> Path:
    """Where a person's own work lies, which no run can make again; `make clean` leaves it alone."""
    return run.root.parent.parent / "yours" / run.profile.name


def key(messages: Sequence[dict], answer: str) -> str:
    """What an answer is rated under; it tells nothing about the model that gave it."""
    return hashlib.sha256(json.dumps([list(messages), answer]).encode()).hexdigest()[:16]


def pairs(rows: Sequence[dict], names: tuple[str, str] = ("base", "tuned")) -> list[dict]:
    """What can be compared: rows with two different answers, without the system prompt.

    Returns:
        For each `item`, `messages`, `answers`: `{id: {"model": name, "text": answer}}` of two.
    """
    made = []
    for row in rows:
        texts = [row.get(name) for name in names]
        if "messages" not in row or None in texts or texts[0] == texts[1]:
            continue
        said = [m for m in row["messages"] if m["role"] != "system"]
        item = f"{row['id']}-{key(said, json.dumps(sorted(texts)))[:8]}"
        answers = {key(said, item + t): {"model": n, "text": t} for n, t in zip(names, texts, strict=True)}
        made.append({"item": item, "messages": said, "answers": answers})
    return made


class Store:
    """The file of all clicks. A click is on disk when `put` returns, and `undo` takes the last one of a rater back.

    Raises:
        UserError: the file is no database of ratings.
    """

    def __init__(self, file: Path):
        self.file = Path(file)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # a callback of a widget may come from another thread than the cell; they come one at a time
        self._db = sqlite3.connect(self.file, timeout=30, check_same_thread=False)
        try:
            with self._db:
                self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise UserError(f"{file} holds no ratings ({error}); move it away and open the page again.") from None

    def add(self, compared: Sequence[dict]) -> None:
        """Keep the texts of `pairs`, so that an export needs nothing else."""
        rows = [
            (name, pair["item"], one["model"], json.dumps(pair["messages"], ensure_ascii=False), one["text"])
            for pair in compared
            for name, one in pair["answers"].items()
        ]
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)", rows)

    def put(self, rater: str, about: str, axis: str, value: int | str) -> None:
        """Keep one click: a score of an answer, or the better answer of an item (its id, or "tie").

        Raises:
            UserError: an axis that does not exist, a score outside 0 to 3.
        """
        if axis != BETTER:
            check({axis: value}, f"the rating of {about}", partly=True)
        with self._db:
            self._db.execute(
                "INSERT INTO clicks (rater, about, axis, value) VALUES (?, ?, ?, ?)", (rater, about, axis, value)
            )

    def undo(self, rater: str) -> str | None:
        """Take the rater's last click back; what it was about, or None where nothing is left."""
        with self._db:
            last = "SELECT number, about FROM clicks WHERE rater = ? ORDER BY number DESC LIMIT 1"
            found = self._db.execute(last, (rater,)).fetchone()
            if found:
                self._db.execute("DELETE FROM clicks WHERE number = ?", found[:1])
        return found[1] if found else None

    def given(self, rater: str) -> dict[tuple[str, str], int | str]:
        """What holds now: the last value of each `(about, axis)`."""
        return {(about, axis): value for about, axis, value in self._db.execute(_LAST, (rater,))}

    def raters(self) -> list[str]:
        """Who has rated anything."""
        return [name for (name,) in self._db.execute("SELECT DISTINCT rater FROM clicks ORDER BY rater")]

    def scores(self, rater: str) -> list[dict]:
        """Answers that a rater has scored on every axis, as rows of `id`, `item`, `model`, `messages`, `answer`,
        `rater`, `scores`, `better` (True, False, "tie" or None), `origin`."""
        given, rows = self.given(rater), []
        for name, item, model, messages, answer in self._db.execute("SELECT * FROM answers ORDER BY rowid"):
            scores = {axis: given[name, axis] for axis in AXES if (name, axis) in given}
            if len(scores) == len(AXES):
                chosen = given.get((item, BETTER))
                better = chosen if chosen in (None, "tie") else chosen == name
                rows.append(
                    {"id": name, "item": item, "model": model, "messages": json.loads(messages), "answer": answer}
                    | {"rater": rater, "scores": scores, "better": better, "origin": ORIGIN}
                )
        return rows

    def export(self, file: Path) -> int:
        """Write every rater's finished ratings as JSONL, whole or not at all; return the number of rows."""
        rows = [row for rater in self.raters() for row in self.scores(rater)]
        beside = Path(f"{file}.{os.getpid()}.part")
        beside.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
        beside.replace(file)
        return len(rows)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def check(scores: dict, where: str, partly: bool = False) -> None:
    """Raise `UserError` unless the scores are whole numbers of 0 to 3 on the axes, all of them unless `partly`."""
    if not isinstance(scores, dict):
        raise UserError(f"{where}: `scores` must be an object with {', '.join(AXES)}.")
    for axis, value in scores.items():
        if axis not in AXES:
            raise UserError(f"{where}: unknown axis {axis!r}; there are: {', '.join(AXES)}.")
        if isinstance(value, bool) or value not in (0, 1, 2, 3):
            raise UserError(f"{where}: {axis} is {value!r}; a score is 0, 1, 2 or 3.")
    absent = [axis for axis in AXES if axis not in scores]
    if absent and not partly:
        raise UserError(f"{where}: no score for {', '.join(absent)}.")


def exists(file: Path) -> None:
    """Raise `UserError` unless there is such a file."""
    if not Path(file).is_file():
        raise UserError(f"{file} does not exist; give another path as improve.ratings in the profile.")


def load(file: Path) -> list[dict]:
    """The rows of a file of ratings: `messages` that end with the visitor, `answer`, `rater`, `scores`.

    Raises:
        UserError: no such file, or the first line that is broken, with its number.
    """
    exists(file)
    rows = []
    for number, line in enumerate(Path(file).read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{Path(file).name} line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            raise UserError(f"{where} is not JSON; every line must be one rating.") from None
        said = row.get("messages") if isinstance(row, dict) else None
        if not isinstance(said, list) or not said or not all(isinstance(m, dict) for m in said):
            raise UserError(f"{where}: `messages` must be the talk before the answer.")
        if said[-1].get("role") != "user" or not isinstance(row.get("answer"), str) or not row["answer"].strip():
            raise UserError(f"{where}: `messages` must end with the visitor, and `answer` must be a text.")
        check(row.get("scores"), where)
        named = {"id": key(said, row["answer"]), "item": key(said, ""), "rater": "one"}
        rows.append({**named, **row})
    if not rows:
        raise UserError(f"{file} holds no ratings.")
    return rows
