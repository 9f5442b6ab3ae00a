"""The stage `evaluate`: base against tuned, through the same endpoint code, on the same rows.

Three questions: does it know psychology (quiz, by EvalScope), does it reply like a counsellor (held-out dialogues, by
BLEU, chrF and ROUGE-L), is it safe (prompts with an expected behaviour, by written rules). Introduced in notebook 07.
"""

import json
import time
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path

import openai

from . import metrics, models, quiz, safety, serving, testset
from .errors import UserError
from .profile import ROOT
from .run import Run

MODELS = ("base", "tuned")
AT_ONCE = 8  # requests in flight: the server batches them


def inputs(run: Run) -> list[Path]:
    """Files outside outputs/ that this stage depends on: the questions, the prompts, the rules that judge them."""
    files = [ROOT / run.profile.eval["quiz"], ROOT / run.profile.eval["safety"]]
    return [*files, *(Path(module.__file__) for module in (metrics, quiz, safety, testset))]


def build(run: Run, work: Path) -> dict:
    """Ask both models everything and score them; writes `answers.jsonl`, `scores.json` and the quiz's CSV files.

    Raises:
        UserError: a file without usable rows, a server that does not start or stops answering.
    """
    options, seed, system = run.profile.eval, run.profile.sft["seed"], run.profile.sft["system"]
    rows = testset.collect(run.val_file, ROOT / options["quiz"], ROOT / options["safety"], options, system, seed)
    quiz.write([r for r in rows if r["part"] == "quiz"], work / "quiz")
    folders = {"base": models.fetch(run.profile.model), "tuned": run.merged}
    quiz_scores, seconds, engine = {}, {}, None
    for name in MODELS:
        clock = _Clock()
        with serving.serve(folders[name], run.profile.serve, work / f"server-{name}.log") as endpoint:
            engine = endpoint.engine
            clock.lap("start the server")
            log = work / f"evalscope-{name}.log"
            quiz_scores[name] = answer_quiz(rows, name, endpoint, work, log)
            clock.lap("quiz")
            answer_all(rows, name, endpoint, options["max_new_tokens"])
            clock.lap("dialogues and safety")
        seconds[name] = clock.laps
    results = score(rows, quiz_scores, system, seed) | {"engine": engine, "seconds_by_part": seconds}
    with open(work / "answers.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (work / "scores.json").write_text(json.dumps(results, ensure_ascii=False, indent=1), encoding="utf-8")
    return results


def answer_quiz(rows: list[dict], name: str, endpoint, work: Path, log: Path) -> dict:
    """Let EvalScope ask the quiz rows; add the answers to the rows under `name` and return its score."""
    result, answers = quiz.run(endpoint.url, endpoint.model, work / "quiz", work / "quiz" / f"evalscope-{name}", log)
    for row in rows:
        if row["part"] == "quiz":
            row[name], row[f"{name}_letter"] = answers[row["id"]]["answer"], answers[row["id"]]["letter"]
            row[f"{name}_passes"] = answers[row["id"]]["passes"]
    return result


def answer_all(rows: list[dict], name: str, endpoint, max_tokens: int) -> None:
    """Ask for a greedy reply to every row with `messages`, eight at a time; adds it to the row under `name`.

    A request that the server refuses (a dialogue longer than its context, say) gives None, which `score` reports.

    Raises:
        UserError: the endpoint does not answer.
    """
    client = endpoint.client()

    def ask(row: dict) -> str | None:
        try:
            reply = client.chat.completions.create(
                model=endpoint.model, messages=row["messages"], temperature=0, max_tokens=max_tokens, timeout=300
            )
        except (openai.APIConnectionError, openai.InternalServerError) as error:
            raise UserError(
                f"{endpoint.url} did not answer {row['id']} ({type(error).__name__}); see the server's log."
            ) from None
        except openai.APIStatusError:
            return None
        return (reply.choices[0].message.content or "") if reply.choices else None

    asked = [row for row in rows if "messages" in row]
    with ThreadPool(AT_ONCE) as pool:
        for row, reply in zip(asked, pool.map(ask, asked, chunksize=1), strict=True):
            row[name] = reply


def score(rows: list[dict], quiz_scores: dict, system: str, seed: int) -> dict:
    """Scores of both models with n, 95 % intervals and a verdict in words; safety judgements are added to the rows.

    A row that one model could not answer is left out for both, and named in `left_out`.
    """
    kept = [r for r in rows if all(r[name] is not None for name in MODELS)]
    talks, prompts = ([r for r in kept if r["part"] == part] for part in ("dialogue", "safety"))
    references = [r["reference"] for r in talks]
    near = {name: metrics.similarity([r[name] for r in talks], references, seed) for name in MODELS}
    for row in prompts:
        for name in MODELS:
            row[f"{name}_passes"], row[f"{name}_reason"] = safety.judge(
                row["prompt"], row[name], row["expected"], system
            )
    safe = {name: safety.tally(prompts, name) for name in MODELS}
    return {
        "quiz": _compare(lambda name: quiz_scores[name]),
        "dialogues": {measure: _compare(lambda name, m=measure: near[name][m]) for measure in metrics.names()},
        "safety": _compare(lambda name: safe[name]["all"]),
        "safety_categories": {
            c: _compare(lambda name, c=c: safe[name]["categories"][c]) for c in safe["base"]["categories"]
        },
        "safety_failing": {name: safe[name]["failing"] for name in MODELS},
        "measures": metrics.names(),
        "left_out": [r["id"] for r in rows if r not in kept],
    }


def _compare(of: Callable[[str], dict]) -> dict:
    both = {name: of(name) for name in MODELS}
    return both | {"verdict": metrics.verdict(both["base"], both["tuned"])}


def table(scores: dict[str, dict]):
    """A data frame of scores: one row each, base and tuned with their 95 % intervals, n, and the verdict in words."""
    import pandas as pd

    def cell(score: dict) -> str:
        if score["score"] is None:
            return "–"
        around = "" if score["low"] is None else f"  [{score['low']:.1f}, {score['high']:.1f}]"
        return f"{score['score']:.1f}{around}"

    rows = {
        label: {name: cell(s[name]) for name in MODELS} | {"n": s["base"]["n"], "in words": s["verdict"]}
        for label, s in scores.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def bars(scores: dict[str, dict], ylabel: str):
    """Draw base beside tuned with 95 % intervals and return the Axes. Scores as in `table`."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    for i, name in enumerate(MODELS):
        some = [{k: v[name][k] or 0 for k in ("score", "low", "high")} for v in scores.values()]
        reach = [[max(0, s["score"] - s["low"]) for s in some], [max(0, s["high"] - s["score"]) for s in some]]
        ax.bar([x + 0.4 * i - 0.2 for x in range(len(some))], [s["score"] for s in some], 0.36, yerr=reach, label=name)
    ax.set_xticks(range(len(scores)), list(scores), rotation=20 if len(scores) > 4 else 0)
    ax.set_ylabel(ylabel)
    ax.legend()
    return ax


class _Clock:
    """Seconds between laps."""

    def __init__(self):
        self.laps, self._last = {}, time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self._last = round(now - self._last, 1), now
