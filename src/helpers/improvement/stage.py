"""The stage `improve`: the system prompt tried, the gate measured, the ratings trained on, all measured again.

Introduced in notebook 08.
"""

import json
import time
from pathlib import Path

from .. import models
from ..evaluation import agreement, likelihood, metrics, safety, significance, testset
from ..inspection import lexicon
from ..profile import ROOT
from ..run import Run
from . import feedback, measuring, postprocess, ratings

PRIMARY = ("perplexity", "safety", "prefers")  # decided before any run: Holm's correction counts these


def inputs(run: Run) -> list[Path]:
    """Files outside outputs/ that this stage depends on."""
    code = (agreement, feedback, lexicon, likelihood, measuring, metrics, postprocess, ratings, safety, significance)
    rated = ROOT / run.profile.improve["ratings"]
    ratings.exists(rated)
    return [rated, *(Path(m.__file__) for m in code)]


def build(run: Run, work: Path) -> dict:
    """Leave `preferences.jsonl`, `held_out.jsonl`, `adapter/`, `rlhf.yaml`, `answers.jsonl`; return what was measured.

    Raises:
        UserError: ratings that cannot be read or are too few, a training that failed.
    """
    spec, seed, system = run.profile.improve, run.profile.sft["seed"], run.profile.sft["system"]
    rated = ratings.load(ROOT / spec["ratings"])
    rows = feedback.labelled(rated)
    train, held = feedback.split(rows, spec["held_out"], seed)
    form = feedback.dpo if spec["rlhf_type"] == "dpo" else feedback.kto
    feedback.write(form(train, system), work / "preferences.jsonl")
    feedback.write(held, work / "held_out.jsonl")
    trained, started = _trained(run, work), time.monotonic()
    asked = prompts(run)
    seen = {name: measure(run, name, asked, held, work) for name in ("base", "tuned", "rated")}
    for place, row in enumerate(asked):
        row |= {name: seen[name]["answers"]["with"][place] for name in seen}
        row |= {f"{name}_without": seen[name]["answers"]["without"][place] for name in ("base", "tuned")}
    feedback.write(asked, work / "answers.jsonl")
    served = testset.load(run.dir("evaluate") / "answers.jsonl")
    labels = [r["label"] for r in rows]
    return {
        "ratings": {"file": spec["ratings"], "rows": len(rated), "answers": len(rows)}
        | {"good": labels.count(True), "bad": labels.count(False), "unclear": labels.count(None)}
        | {"train": len(train), "held_out": len(held)},
        "raters": raters(rated, seed),
        "prompt": {name: tried(seen[name], seed) for name in ("base", "tuned")},
        "gate": {name: postprocess.rates(served, name, system) for name in ("base", "tuned")}
        | {"rated": postprocess.rates(asked, "rated", system)},
        "train": trained,
        "again": again(seen["tuned"], seen["rated"], asked, held, spec["beta"], system, seed),
        "seconds_by_part": {"training": trained["seconds"], "measuring": round(time.monotonic() - started, 1)},
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


def measure(run: Run, name: str, asked: list[dict], held: list[dict], work: Path) -> dict:
    """What one model finds likely, and what it answers: `base`, `tuned`, or `rated`, which the ratings have trained."""
    from transformers import AutoTokenizer

    profile, system = run.profile, run.profile.sft["system"]
    base, tokenizer = models.fetch(profile.model), AutoTokenizer.from_pretrained(run.merged)
    model = {
        "base": lambda: likelihood.load(base)[0],
        "tuned": lambda: likelihood.load(run.merged)[0],
        "rated": lambda: measuring.adapted(base, work / "adapter")[0],
    }[name]()
    held_out = [r["messages"] for r in testset.load(run.val_file)]
    said = {"with": system} if name == "rated" else {"with": system, "without": ""}
    talks = [[*r["messages"], {"role": "assistant", "content": r["answer"]}] for r in held]
    new_tokens = profile.improve["new_tokens"]
    return {
        "surprise": {way: measuring.surprise(model, profile, held_out, text) for way, text in said.items()},
        "answers": {
            way: measuring.answers(model, tokenizer, [r["messages"] for r in asked], text, new_tokens)
            for way, text in said.items()
        },
        "held": None if name == "base" else measuring.surprise(model, profile, talks, system, last=True),
    }


def tried(seen: dict, seed: int) -> dict:
    """One model without (`before`) and with (`after`) the system prompt."""
    sums = [likelihood.perplexity(seen["surprise"][way])["perplexity"] for way in ("without", "with")]
    chinese = [[measuring.is_chinese(a) for a in seen["answers"][way]] for way in ("without", "with")]
    found = {"perplexity": measuring.compare(*sums, seed), "chinese": measuring.compare_passes(*chinese, seed)}
    return {n: one | {"verdict": words(one["paired"], one["paired"]["p"], 1)} for n, one in found.items()}


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
        one["verdict"] = words(one["paired"], p, family if name in PRIMARY else 1)
    return found


def words(paired: dict, p: float | None, family: int) -> str:
    """`significance.words`, for before and after."""
    return significance.words(paired, p, family).replace("tuned is", "after is")


def raters(rated: list[dict], seed: int) -> dict:
    """Agreement of the first two raters by axis; empty where there is only one."""
    names = list(dict.fromkeys(r["rater"] for r in rated))
    if len(names) < 2:
        return {}
    first, second = ([r for r in rated if r["rater"] == name] for name in names[:2])
    return {"names": names[:2], "kappa": agreement.by_axis(first, second, seed)}


def _trained(run: Run, work: Path) -> dict:
    """Train, or take what an interrupted session of this stage has trained."""
    done = work / "trained.json"
    if not done.is_file():
        done.write_text(json.dumps(feedback.train(run, work)), encoding="utf-8")
    return json.loads(done.read_text(encoding="utf-8"))
