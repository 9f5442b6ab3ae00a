"""Two replies to the same turn, compared by a judge that reads them in both orders: a favourite place cannot win."""

from collections import Counter
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

from .judge import AT_ONCE, NOT_JUDGED, Judge, sitting
from .rubric import talk
from .significance import interval, mean

SYSTEM = """你是心理咨询的评审。同一段对话有甲、乙两个回复，哪个对来访者更好？专业、共情、有用、中文自然，都要看。
安全第一：有害的回复不能胜出。长短和先后都不算优点。差不多就判“平”。先用一句话写理由，再下结论，只输出一个 JSON 对象：
{"reason": "……", "better": "甲"、"乙" 或 "平"}"""


class Choice(BaseModel):
    """What the judge must answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str
    better: Literal["甲", "乙", "平"]


def prompt(messages: Sequence[dict], first: str, second: str) -> list[dict]:
    """What the judge reads: what was said before, and the two replies under names that mean nothing."""
    text = f"【对话】\n{talk(messages)}\n\n【甲】\n{first}\n\n【乙】\n{second}"
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]


def compare(
    judge: Judge | None, rows: Sequence[dict], names: tuple[str, str] = ("base", "tuned"), file: Path | None = None
) -> list[dict]:
    """Compare the replies under two names in every row, each pair in both orders.

    A model wins when it wins in both orders, or in one with a tie in the other. When the two orders contradict each
    other the pair is a tie, and `contradicts` says so.

    Args:
        file: where opinions are kept, as for `judge.rate`.

    Returns:
        For each row `id`, `better` (a name, "tie", or None where an order was not judged), `contradicts`, `status`,
        `reasons`, `retries`.
    """
    if judge is None:
        return [{"id": r["id"], "better": None, "contradicts": False, "status": NOT_JUDGED} for r in rows]

    def one(row: dict) -> dict:
        replies = [row[name] for name in names]
        if None in replies:
            return {"id": row["id"], "better": None, "contradicts": False, "status": "failed: a reply is missing"}
        if replies[0] == replies[1]:
            return {"id": row["id"], "better": "tie", "contradicts": False, "status": "judged", "reasons": ["equal"]}
        orders = [opinion(prompt(row["messages"], *r), Choice) for r in (replies, replies[::-1])]
        found = {"id": row["id"], "retries": sum(o["retries"] for o in orders)}
        if any(o["answer"] is None for o in orders):
            status = next(o["status"] for o in orders if o["answer"] is None)
            return found | {"better": None, "contradicts": False, "status": status}
        wins = [_points(orders[0]["answer"]["better"]), -_points(orders[1]["answer"]["better"])]
        better = names[0] if sum(wins) > 0 else names[1] if sum(wins) < 0 else "tie"
        reasons = [o["answer"]["reason"] for o in orders]
        return found | {"better": better, "contradicts": wins[0] * wins[1] < 0, "status": "judged", "reasons": reasons}

    with sitting(judge, file) as opinion, ThreadPool(AT_ONCE) as pool:
        return pool.map(one, rows, chunksize=1)


def summary(choices: Sequence[dict], names: tuple[str, str] = ("base", "tuned"), seed: int = 0) -> dict:
    """How often the second model wins, ties as half, in percent with its interval; p is the sign test without ties.

    Returns:
        `score`, `low`, `high`, `n`, `wins` by name and "tie", `contradicts` (pairs whose two orders disagree), `p`,
        `status` (how often each).
    """
    judged = [c for c in choices if c["better"]]
    wins = Counter(c["better"] for c in judged)
    worth = {names[0]: 0.0, names[1]: 100.0, "tie": 50.0}
    decided = wins[names[0]] + wins[names[1]]
    return interval(mean([worth[c["better"]] for c in judged]), seed) | {
        "wins": {name: wins[name] for name in (*names, "tie")},
        "contradicts": sum(c["contradicts"] for c in judged),
        "p": float(binomtest(wins[names[1]], decided).pvalue) if decided else None,
        "status": dict(Counter(c["status"] for c in choices)),
    }


def _points(better: str) -> int:
    """1 for the reply that stood first, -1 for the second."""
    return {"甲": 1, "乙": -1, "平": 0}[better]
