"""The stage `improve`: the system prompt tried, the gate measured, and what the ratings changed, measured as before.

What the models answer and find likely is kept beside page 7's answers: an edit of the gate asks no model again.
Introduced in notebook 08.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np

from .. import models
from ..evaluation import agreement, answers, likelihood, metrics, safety, significance, testset
from ..evaluation.readings import engine
from ..evaluation.stage import answers_file
from ..inspection import lexicon, topics, wordings
from ..profile import ROOT
from ..run import Run
from . import feedback, measuring, postprocess, ratings

BETTER = {"perplexity": -1, "safety": 1, "no_loop": 1, "prefers": 1}  # 1: a higher score is better; of others neither
PRIMARY = ("perplexity", "safety", "prefers")  # decided before any run: Holm's correction counts these


def inputs(run: Run) -> list[Path]:
    """Files outside outputs/ that this stage depends on."""
    code = (agreement, feedback, lexicon, likelihood, measuring, metrics, postprocess, ratings, safety, significance)
    return [*(Path(m.__file__) for m in (*code, topics, wordings)), lexicon.FILE, wordings.WEIGHTS]


def build(run: Run, work: Path) -> dict:
    """Leave `answers.jsonl`, what three models answer; return what was measured."""
    spec, seed, system = run.profile.improve, run.profile.sft["seed"], run.profile.sft["system"]
    held = testset.load(run.dir("feedback") / "held_out.jsonl")
    asked = prompts(run)
    with answers.Answers(answers_file(run)) as kept:
        seen = {name: measure(run, name, asked, held, kept) for name in ("base", "tuned", "rated")}
    for place, row in enumerate(asked):
        row |= {name: seen[name]["answers"]["with"][place] for name in seen}
        row |= {f"{name}_without": seen[name]["answers"]["without"][place] for name in ("base", "tuned")}
    feedback.write(asked, work / "answers.jsonl")
    served = testset.load(run.dir("evaluate") / "answers.jsonl")
    return {
        "raters": raters(ratings.load(ROOT / spec["ratings"]), seed),
        "prompt": {name: tried(seen[name], seed) for name in ("base", "tuned")},
        "gate": {name: postprocess.rates(served, name, system) for name in ("base", "tuned")}
        | {"rated": postprocess.rates(asked, "rated", system)},
        "again": again(seen["tuned"], seen["rated"], asked, held, spec["beta"], system, seed),
    }


def prompts(run: Run) -> list[dict]:
    """What is asked: page 7's safety prompts, and the first messages of its held-out dialogues."""
    rows = [r for r in testset.load(run.dir("evaluate") / "answers.jsonl") if "messages" in r]
    asked = []
    for row in rows:
        first = next(m for m in row["messages"] if m["role"] == "user")
        keep = {k: row.get(k) for k in ("id", "part", "category", "expected", "prompt")}
        asked.append(keep | {"messages": [first]})
    return asked


def measure(run: Run, name: str, asked: list[dict], held: list[dict], kept: answers.Answers) -> dict:
    """What one model finds likely, and what it answers: `base`, `tuned`, or `rated`, which the ratings have trained.

    Returns:
        `surprise` and `answers` `with` the system prompt and `without` it (`rated` only with), and `held`, the surprise
        at the held-out answers (not of `base`).
    """
    profile, system, adapter = run.profile, run.profile.sft["system"], run.dir("feedback") / "adapter"
    base, new_tokens = models.fetch(profile.model), profile.improve["new_tokens"]
    talks = [r["messages"] for r in testset.load(run.val_file)]
    rated = [] if name == "base" else [[*r["messages"], {"role": "assistant", "content": r["answer"]}] for r in held]
    said = {"with": system} if name == "rated" else {"with": system, "without": ""}

    def look() -> dict:
        from transformers import AutoTokenizer

        model = measuring.adapted(base, adapter)[0] if name == "rated" else likelihood.load(folder)[0]
        tokenizer = AutoTokenizer.from_pretrained(run.merged)
        first = [r["messages"] for r in asked]
        return {
            "surprise": {w: measuring.surprise(model, profile, talks, text).tolist() for w, text in said.items()},
            "answers": {w: measuring.answers(model, tokenizer, first, text, new_tokens) for w, text in said.items()},
            "held": measuring.surprise(model, profile, rated, system, last=True).tolist(),
        }

    folder = {"base": base, "tuned": run.merged, "rated": base}[name]
    files = [folder, run.merged] + ([adapter] if name == "rated" else [])
    who = " ".join([*map(answers.fingerprint, files), engine(), f"transformers {version('transformers')}"])
    questions = [*(r["messages"] for r in asked), *talks, *rated]
    found = kept.remember(answers.key(who, questions, {"systems": said, "new_tokens": new_tokens}), look)
    surprise = {way: np.asarray(rows) for way, rows in found["surprise"].items()}
    return {"surprise": surprise, "answers": found["answers"], "held": np.asarray(found["held"])}


def tried(seen: dict, seed: int) -> dict:
    """One model without (`before`) and with (`after`) the system prompt."""
    sums = [likelihood.perplexity(seen["surprise"][way])["perplexity"] for way in ("without", "with")]
    chinese = [[measuring.is_chinese(a) for a in seen["answers"][way]] for way in ("without", "with")]
    found = {"perplexity": measuring.compare(*sums, seed), "chinese": measuring.compare_passes(*chinese, seed)}
    return {n: one | {"verdict": words(n, one["paired"], one["paired"]["p"], 1)} for n, one in found.items()}


def again(before: dict, after: dict, asked: list[dict], held: list[dict], beta: float, system: str, seed: int) -> dict:
    """Before and after the training with ratings: each score with interval, paired test and a verdict in words."""
    sums = [likelihood.perplexity(seen["surprise"]["with"])["perplexity"] for seen in (before, after)]
    places = [i for i, row in enumerate(asked) if row["part"] == "safety"]
    passed = [
        [safety.judge(asked[i]["prompt"], seen["answers"]["with"][i], asked[i]["expected"], system)[0] for i in places]
        for seen in (before, after)
    ]
    whole = [["loop" not in postprocess.faults(a) for a in seen["answers"]["with"]] for seen in (before, after)]
    found = {
        "perplexity": measuring.compare(*sums, seed),
        "safety": measuring.compare_passes(*passed, seed),
        "no_loop": measuring.compare_passes(*whole, seed),
        **measuring.preferences(before["held"], after["held"], held, beta, seed),
    }
    corrected = significance.holm({name: found[name]["paired"]["p"] for name in PRIMARY})
    family = sum(p is not None for p in corrected.values())
    for name, one in found.items():
        p = corrected[name] if name in PRIMARY else one["paired"]["p"]
        one["verdict"] = words(name, one["paired"], p, family if name in PRIMARY else 1)
    return found


def words(name: str, paired: dict, p: float | None, family: int) -> str:
    """`significance.words` about the score of this name, for before and after."""
    return significance.words(paired, p, family, BETTER.get(name, 0), "after")


def raters(rated: list[dict], seed: int) -> dict:
    """Agreement of the first two raters by axis; empty where there is only one."""
    names = list(dict.fromkeys(r["rater"] for r in rated))
    if len(names) < 2:
        return {}
    first, second = ([r for r in rated if r["rater"] == name] for name in names[:2])
    return {"names": names[:2], "kappa": agreement.by_axis(first, second, seed)}
