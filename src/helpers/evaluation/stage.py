"""The stage `evaluate`: base against tuned, through the same endpoint code, on the same rows.

Three questions: does it know psychology (quiz, by EvalScope), does it reply like a counsellor (held-out dialogues, by
BLEU, chrF and ROUGE-L), is it safe (prompts with an expected behaviour, by written rules). Introduced in notebook 07.
"""

import json
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

import openai

from .. import models, serving
from ..errors import UserError
from ..profile import ROOT
from ..run import Run
from . import bleu, comparison, metrics, overlap, quiz, safety, significance, testset
from .comparison import MODELS, bars, score, table

__all__ = ["MODELS", "answer_all", "answer_quiz", "bars", "build", "inputs", "score", "table"]
RULES = (bleu, comparison, metrics, overlap, quiz, safety, significance, testset)
AT_ONCE = 8  # requests in flight: the server batches them


def inputs(run: Run) -> list[Path]:
    """Files outside outputs/ that this stage depends on: the questions, the prompts, the rules that judge them."""
    files = [ROOT / run.profile.eval["quiz"], ROOT / run.profile.eval["safety"]]
    return [*files, *(Path(module.__file__) for module in RULES)]


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


class _Clock:
    """Seconds between laps."""

    def __init__(self):
        self.laps, self._last = {}, time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self._last = round(now - self._last, 1), now
