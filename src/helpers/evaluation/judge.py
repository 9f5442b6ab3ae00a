"""A language model as a judge, asked turn by turn over any OpenAI-compatible endpoint.

`JUDGE_URL` and `JUDGE_MODEL` name it, `JUDGE_KEY` is its key. Without them nothing is judged, and the page says so.
What a judge says is an opinion with a bias of its own: `pairwise` and `agreement` show how large. Introduced in
notebook 08.
"""

from collections import Counter
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool

from ..structured import Model as Judge
from ..structured import ask
from .rubric import AXES, Ratings, prompt
from .significance import interval, ratio

__all__ = ["AT_ONCE", "NOT_JUDGED", "Judge", "ask", "rate", "summary"]
NOT_JUDGED = "not judged"
AT_ONCE = 4  # requests in flight


def rate(judge: Judge | None, rows: Sequence[dict], name: str) -> list[dict]:
    """Rate the reply under `name` in every row, a turn each; rows as `testset.turns` or `testset.dialogues` make them.

    Returns:
        For each row `id`, `talk` (the dialogue it belongs to), `scores` (by axis, or None), `reason`, `status`,
        `attempts`, `retries`. An empty reply gets 0 on every axis without being sent, and says so.
    """
    client = judge.client() if judge else None

    def one(row: dict) -> dict:
        named = {"id": row["id"], "talk": row.get("talk", row["id"]), "scores": None, "reason": ""}
        if judge is None:
            return named | {"status": NOT_JUDGED}
        if row[name] is None:
            return named | {"status": "failed: the model gave no reply"}
        if not row[name].strip():
            return named | {"scores": dict.fromkeys(AXES, 0), "reason": "empty reply", "status": "judged"}
        found = ask(judge, prompt(row["messages"], row[name]), Ratings, client)
        answer = found.pop("answer")
        if answer:
            named |= {"scores": {axis: answer[axis] for axis in AXES}, "reason": answer["reason"]}
            found["status"] = "judged"
        return named | found

    with ThreadPool(AT_ONCE) as pool:
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
