"""A language model as a judge, asked turn by turn over any OpenAI-compatible endpoint.

`JUDGE_URL` and `JUDGE_MODEL` name it, `JUDGE_KEY` is its key. Without them nothing is judged, and the page says so.
What a judge says is an opinion with a bias of its own: `pairwise` and `agreement` show how large. Introduced in
notebook 08.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.pool import ThreadPool
from pathlib import Path

from pydantic import BaseModel

from ..structured import NO_ANSWER, ask
from ..structured import Model as Judge
from . import answers
from .rubric import AXES, Ratings, prompt
from .significance import interval, ratio

__all__ = ["AT_ONCE", "NOT_JUDGED", "Judge", "ask", "rate", "sitting", "summary"]
NOT_JUDGED = "not judged"
AT_ONCE = 4  # requests in flight
GIVE_UP = 5  # questions in a row that got no answer, after which the endpoint counts as gone
GONE = "failed: not asked, the endpoint had stopped answering"


@contextmanager
def sitting(judge: Judge, file: Path | None) -> Iterator:
    """A function of messages and form like `structured.ask`, for threads, that keeps in `file` what the judge said.

    What lies in the file is not asked again. After `GIVE_UP` failures in a row nobody waits for the endpoint any more.
    """
    client, lock, in_a_row = judge.client(), threading.Lock(), 0
    with answers.Answers(file) if file else nullcontext() as kept:

        def one(messages: list[dict], form: type[BaseModel]) -> dict:
            nonlocal in_a_row
            key = answers.key(f"{judge.url} {judge.model}", messages, form.model_json_schema())
            if kept is not None and (said := kept.get(key)):
                return json.loads(said)
            if in_a_row >= GIVE_UP:
                return {"answer": None, "status": GONE, "attempts": 0, "retries": 0}
            found = ask(judge, messages, form, client)
            with lock:
                in_a_row = in_a_row + 1 if found["status"].startswith(NO_ANSWER) else 0
            if kept is not None and found["answer"]:
                kept.put(key, json.dumps(found))
            return found

        yield one


def rate(judge: Judge | None, rows: Sequence[dict], name: str, file: Path | None = None) -> list[dict]:
    """Rate the reply under `name` in every row, a turn each; rows as `testset.turns` or `testset.dialogues` make them.

    Args:
        file: where opinions are kept as they come, so that a run that was stopped goes on where it was.

    Returns:
        For each row `id`, `talk` (the dialogue it belongs to), `scores` (by axis, or None), `reason`, `status`,
        `attempts`, `retries`. An empty reply gets 0 on every axis without being sent, and says so.
    """

    def one(row: dict) -> dict:
        named = {"id": row["id"], "talk": row.get("talk", row["id"]), "scores": None, "reason": ""}
        if judge is None:
            return named | {"status": NOT_JUDGED}
        if row[name] is None:
            return named | {"status": "failed: the model gave no reply"}
        if not row[name].strip():
            return named | {"scores": dict.fromkeys(AXES, 0), "reason": "empty reply", "status": "judged"}
        found = opinion(prompt(row["messages"], row[name]), Ratings)
        answer = found.pop("answer")
        if answer:
            named |= {"scores": {axis: answer[axis] for axis in AXES}, "reason": answer["reason"]}
            found["status"] = "judged"
        return named | found

    with sitting(judge, file) if judge else nullcontext() as opinion, ThreadPool(AT_ONCE) as pool:
        return pool.map(one, rows, chunksize=1)


def summary(ratings: Sequence[dict], seed: int = 0) -> dict:
    """Mean of each axis, 0..3, with its interval. Whole dialogues are drawn again, because their turns are alike.

    Returns:
        `axes`, `turns` that were judged, `status` (how often each), `retries` of a request, `asked_again` (answers
        that were not in form). An axis has no score where nothing was judged; a failed turn is never a zero.
    """
    judged = [r for r in ratings if r["scores"]]
    talks: dict[str, list[dict]] = {}
    for one in judged:
        talks.setdefault(one["talk"], []).append(one["scores"])
    turns = [len(scores) for scores in talks.values()]
    return {
        "axes": {
            axis: interval(ratio([sum(s[axis] for s in scores) for scores in talks.values()], turns), seed)
            for axis in AXES
        },
        "turns": len(judged),
        "status": dict(Counter(r["status"] for r in ratings)),
        "retries": sum(r.get("retries", 0) for r in ratings),
        "asked_again": sum(max(r.get("attempts", 1) - 1, 0) for r in ratings),
    }
