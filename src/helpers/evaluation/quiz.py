"""Multiple-choice questions scored by EvalScope's `general_mcq`, in its own process, offline."""

import json
import shutil
from pathlib import Path

from .. import process
from ..errors import UserError

KINDS = ("single", "multiple")
COLUMNS = ("id", "question", *"ABCDEFGHIJ", "answer")
MAX_TOKENS = {"single": 12, "multiple": 16}  # room for `答案：B` and a little clumsiness, not for an explanation first


def write(questions: list[dict], folder: Path | str) -> None:
    """Write the files that `general_mcq` reads, `single_val.jsonl` and `multiple_val.jsonl`, each where it has rows.

    Args:
        questions: rows of `data/quiz.jsonl`, with `kind`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        rows = [{k: q[k] for k in COLUMNS if k in q} for q in questions if q["kind"] == kind]
        if kind == "multiple":
            rows = [row | {"answer": list(row["answer"])} for row in rows]
        if rows:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"{kind}_val.jsonl").write_text(lines, encoding="utf-8")


def command(url: str, model: str, folder: Path, kind: str, out: Path, password: str = "none") -> list[str]:
    """The EvalScope command that scores `<folder>/<kind>_val.jsonl` through an OpenAI-compatible endpoint."""
    data = {"local_path": str(folder), "subset_list": [kind]}
    if kind == "multiple":
        data["extra_params"] = {"multiple_correct": True}
    generation = {"max_tokens": MAX_TOKENS[kind], "temperature": 0, "retries": 1, "timeout": 3600}
    return [
        *("evalscope", "eval", "--eval-type", "openai_api", "--api-url", url, "--api-key", password),
        *("--model", model, "--datasets", "general_mcq", "--dataset-args", json.dumps({"general_mcq": data})),
        *("--generation-config", json.dumps(generation), "--eval-batch-size", "8", "--ignore-errors"),
        *("--work-dir", str(out), "--no-timestamp"),
    ]


def run(url: str, model: str, folder: Path, kind: str, log: Path, password: str = "none") -> dict[str, dict]:
    """Run EvalScope on the questions of one kind and read what it found; its report stays beside `log`, as `.json`.

    Args:
        password: of `gateway.opened`. A real key has no place here: EvalScope takes it on its command line only.

    Returns:
        See `read`.

    Raises:
        UserError: EvalScope failed.
    """
    out = log.with_suffix("")
    shutil.rmtree(out, ignore_errors=True)
    try:
        process.run(command(url, model, folder, kind, out, password), log, {"HF_HUB_OFFLINE": "1"})
        found = read(out, kind)
        shutil.copy(_only(out, "reports/*/general_mcq.json"), log.with_suffix(".json"))
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return found


def read(out: Path, kind: str) -> dict[str, dict]:
    """Read EvalScope's work folder.

    Returns:
        By question id `answer` (the text), `letter` (what EvalScope read in it; "" for none) and `score`, 0..1. With
        several right answers this is the share of them that was named, and 0 with a wrong one. A question without
        an answer is missing.

    Raises:
        UserError: no report, or one that does not agree with the reviews.
    """
    done = json.loads(_only(out, "reports/*/general_mcq.json").read_text(encoding="utf-8"))["execution_summary"]
    if not done["succeeded"]:
        return {}
    reviews = _only(out, f"reviews/*/general_mcq_{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    found = {}
    for review in map(json.loads, reviews):
        score = review["sample_score"]["score"]
        (value,) = score["value"].values()
        found[review["sample_score"]["sample_metadata"]["id"]] = {
            "answer": score["prediction"],
            "letter": score["extracted_prediction"],
            "score": float(value),
        }
    if done["succeeded"] != len(found):
        raise UserError(f"EvalScope reports {done['succeeded']} answers and reviewed {len(found)}; see its log.")
    return found


def _only(out: Path, pattern: str) -> Path:
    found = list(out.glob(pattern))
    if len(found) != 1:
        raise UserError(f"EvalScope wrote no {pattern} below {out}; its log says why.")
    return found[0]
