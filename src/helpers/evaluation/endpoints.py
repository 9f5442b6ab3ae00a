"""Any OpenAI-compatible endpoint judged on the rows of a run, ours or not.

Its model's files are elsewhere, so there are no letter probabilities and no perplexity: only what it says is scored.
"""

import re
import shutil
from pathlib import Path

from filelock import FileLock

from ..errors import UserError
from ..run import Run
from . import answers, comparison, quiz, readings, stage
from .asking import Asker

NAME = "model"  # its key in rows and scores
NOT_SCORED = "letter probabilities and perplexity: they need the model's files, and an endpoint gives answers only"


def judge(run: Run, url: str, model: str, key: str | None = None, again: bool = False) -> dict:
    """Ask an endpoint every generated question of the run's profile and score the answers.

    `answers.jsonl` and `scores.json` appear in `folder(run, url, model)`, whole or not at all. The key is in neither.

    Args:
        url: with the version, `https://…/v1`.
        again: ask also what this endpoint has answered before.

    Returns:
        `comparison.score` for the one name `model`, with `endpoint`, `asking`, `left_out`, `contaminated` and
        `not_scored`.

    Raises:
        UserError: no address, a refused key or model, an endpoint that is gone. What was answered by then is kept.
    """
    if not re.fullmatch(r"https?://[^/@\s]+(/[^@\s]*)?", url):
        raise UserError("--endpoint takes an address like http://127.0.0.1:23333/v1, without a name, password or key.")
    run.require("data")
    rows, left = stage.questions(run)
    target = folder(run, url, model)
    work = target.with_name(f".{target.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")), answers.Answers(stage.answers_file(run)) as kept:
        shutil.rmtree(work, ignore_errors=True)
        quiz.write([r for r in rows if r["part"] == "quiz"], work / "quiz")
        asker = Asker(url, model, f"{url} {model}", kept, key, again=again)
        try:
            lost = readings.generate(rows, NAME, asker, work, run.profile.eval["max_new_tokens"])
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        results = comparison.score(rows, run.profile.sft["system"], run.profile.sft["seed"], (NAME,)) | {
            "endpoint": {"url": url, "model": model},
            "asking": {NAME: asker.trouble()},
            "left_out": {NAME: lost},
            "contaminated": left,
            "not_scored": NOT_SCORED,
        }
        readings.write(rows, results, work)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    return results


def folder(run: Run, url: str, model: str) -> Path:
    """Where an endpoint's answers and scores lie."""
    return run.root / "endpoints" / re.sub(r"[^\w.-]+", "-", f"{url.split('//')[1]}-{model}")
