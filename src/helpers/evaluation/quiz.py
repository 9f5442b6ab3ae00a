"""Multiple-choice questions scored by EvalScope's `general_mcq`, in its own process, offline."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

from .. import process
from ..errors import UserError
from .metrics import proportion

SUBSET = "psychology"
COLUMNS = ("id", "question", "A", "B", "C", "D", "answer")
CHANCE = 25.0  # percent: one right answer among four
MAX_TOKENS = 12  # room for `答案：B` and a little clumsiness, not for an explanation first


def write(questions: list[dict], folder: Path) -> None:
    """Write the two CSV files that `general_mcq` reads: `psychology_dev.csv` (examples: none) and `psychology_val.csv`.

    Args:
        questions: single-answer rows of `data/quiz.jsonl`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("dev", []), ("val", questions)):
        with open(folder / f"{SUBSET}_{split}.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)


def command(url: str, model: str, folder: Path, out: Path) -> list[str]:
    """The EvalScope command that scores `<folder>/psychology_val.csv` through an OpenAI-compatible endpoint."""
    data = {"general_mcq": {"local_path": str(folder), "subset_list": [SUBSET]}}
    generation = {"max_tokens": MAX_TOKENS, "temperature": 0, "retries": 2, "timeout": 300}
    return [
        *("evalscope", "eval", "--eval-type", "openai_api", "--api-url", url, "--model", model),
        *("--datasets", "general_mcq", "--dataset-args", json.dumps(data)),
        *("--generation-config", json.dumps(generation), "--eval-batch-size", "8"),
        *("--work-dir", str(out), "--no-timestamp"),
    ]


def run(url: str, model: str, folder: Path, out: Path, log: Path) -> tuple[dict, dict[str, dict]]:
    """Run EvalScope and read what it found; its work folder `out` is removed, its report kept as `<out>.json`.

    Returns:
        The score (see `read`) and, for each question id, `answer` (the text) and `letter` (what EvalScope read in it).

    Raises:
        UserError: EvalScope failed, or did not get an answer to every question.
    """
    shutil.rmtree(out, ignore_errors=True)
    try:
        process.run(command(url, model, folder, out), log, {"HF_HUB_OFFLINE": "1"})
        score, answers = read(out)
        shutil.copy(_only(out, "reports/*/general_mcq.json"), out.with_suffix(".json"))
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return score, answers


def read(out: Path) -> tuple[dict, dict[str, dict]]:
    """Read EvalScope's work folder: its report for the accuracy, its reviews for each answer.

    Returns:
        Accuracy in percent with n and Wilson interval, `letters` (how often each letter was chosen), `unread`
        (answers without a letter, which score 0), `chance`; and the answers by question id.

    Raises:
        UserError: no report, or questions left unanswered: a score of the others would mislead.
    """
    report = json.loads(_only(out, "reports/*/general_mcq.json").read_text(encoding="utf-8"))
    reviews = _only(out, f"reviews/*/general_mcq_{SUBSET}.jsonl").read_text(encoding="utf-8").splitlines()
    done = report["execution_summary"]
    if done["errored"] or done["incomplete"]:
        raise UserError(f"EvalScope got {done['succeeded']} of {done['requested']} quiz answers; see its log.")
    answers = {}
    for review in map(json.loads, reviews):
        score = review["sample_score"]["score"]
        answers[review["sample_score"]["sample_metadata"]["id"]] = {
            "answer": score["prediction"],
            "letter": score["extracted_prediction"],
            "passes": bool(score["value"]["accuracy"]),
        }
    accuracy, n = report["metrics"][0]["score"], report["metrics"][0]["num"]
    letters = Counter(a["letter"] for a in answers.values() if a["letter"])
    return proportion(round(accuracy * n), n) | {
        "letters": dict(sorted(letters.items())),
        "unread": n - letters.total(),
        "chance": CHANCE,
    }, answers


def _only(out: Path, pattern: str) -> Path:
    found = list(out.glob(pattern))
    if len(found) != 1:
        raise UserError(f"EvalScope wrote no {pattern} below {out}; its log says why.")
    return found[0]
