"""The stage `evaluate`: base against tuned, through the same endpoint code, on the same rows.

Three questions: does it know psychology (quiz, by EvalScope and by the letters' probabilities), does it reply like a
counsellor (held-out dialogues), is it safe (prompts with an expected behaviour). Introduced in notebook 07.
"""

from pathlib import Path

from .. import models
from ..profile import ROOT
from ..run import Run
from . import answers, comparison, contamination, quiz, readings, testset


def inputs(run: Run) -> list[Path]:
    """Files outside outputs/ that this stage depends on: the questions, the prompts, the rules that judge them."""
    files = [ROOT / run.profile.eval["quiz"], ROOT / run.profile.eval["safety"]]
    return [*files, *Path(__file__).parent.glob("*.py")]


def build(run: Run, work: Path) -> dict:
    """Ask both models everything and score them; writes `answers.jsonl`, `scores.json` and EvalScope's reports.

    Raises:
        UserError: a file without usable rows, a server that does not start or stops answering. What was answered by
            then is kept in `answers_file(run)`, and the next run goes on from there.
    """
    rows, left = questions(run)
    quiz.write([r for r in rows if r["part"] == "quiz"], work / "quiz")
    folders = {"base": models.fetch(run.profile.model), "tuned": run.merged}
    with answers.Answers(answers_file(run)) as kept:
        asked = {n: readings.examine(run, n, folders[n], rows, kept, work) for n in comparison.MODELS}
    results = comparison.score(rows, run.profile.sft["system"], run.profile.sft["seed"]) | {
        "contaminated": left,
        "engine": readings.engine(),
        "asking": {name: one["asking"] for name, one in asked.items()},
        "left_out": {name: one["left_out"] for name, one in asked.items()},
        "seconds_by_part": {name: one["seconds"] for name, one in asked.items()},
    }
    readings.write(rows, results, work)
    return results


def answers_file(run: Run) -> Path:
    """Where answers are kept: beside the stages, so that one that fails, or is made anew, finds them again."""
    return run.root / "answers.sqlite"


def questions(run: Run) -> tuple[list[dict], list[dict]]:
    """The rows of the profile in force, without those that the training data repeats; and a list of the latter."""
    options, seed, system = run.profile.eval, run.profile.sft["seed"], run.profile.sft["system"]
    rows = testset.collect(run.val_file, ROOT / options["quiz"], ROOT / options["safety"], options, system, seed)
    return contamination.guard(rows, run.train_file)
