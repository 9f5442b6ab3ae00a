"""Ratings become preference data in ms-swift's own form, and `swift rlhf` trains the adapter with them.

KTO takes single answers with a label, good or bad; DPO takes two answers to one question. KTO fits what a rating box
collects: a rater need not like either of two answers. Introduced in notebook 08.

Source: K. Ethayarajh et al., Model Alignment as Prospect Theoretic Optimization, 2024.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import yaml

from .. import process, sft
from ..errors import UserError
from ..evaluation.rubric import AXES
from ..profile import ROOT
from ..progress import Progress
from ..run import Run
from . import ratings

GOOD, BAD = 2.25, 1.25  # mean score of the four axes; what lies between teaches nothing clear
OWN = ("ratings", "held_out", "new_tokens")  # keys of the profile's section that are not ms-swift's
# as `sft`, but for what concerns a held-out loss: the page measures other things, after the training
NOT_HERE = ("val_dataset", "eval_steps", "per_device_eval_batch_size")


def inputs(run: Run) -> list[Path]:
    """Files outside outputs/ that the stage depends on."""
    rated = ROOT / run.profile.improve["ratings"]
    ratings.exists(rated)
    return [rated]


def build(run: Run, work: Path) -> dict:
    """The stage `feedback`: leave `preferences.jsonl`, `held_out.jsonl`, `rlhf.yaml`, `rlhf.log` and `adapter/`.

    Returns:
        See `train`; and `ratings`: how many there are, of which label, and where they went.

    Raises:
        UserError: ratings that cannot be read or are too few, a training that failed.
    """
    spec, seed = run.profile.improve, run.profile.sft["seed"]
    rated = ratings.load(ROOT / spec["ratings"])
    rows = labelled(rated)
    train_rows, held = split(rows, spec["held_out"], seed)
    form = dpo if spec["rlhf_type"] == "dpo" else kto
    write(form(train_rows, run.profile.sft["system"]), work / "preferences.jsonl")
    write(held, work / "held_out.jsonl")
    labels = [r["label"] for r in rows]
    counts = {"file": spec["ratings"], "rows": len(rated), "answers": len(rows)}
    counts |= {"good": labels.count(True), "bad": labels.count(False), "unclear": labels.count(None)}
    return train(run, work) | {"ratings": counts | {"train": len(train_rows), "held_out": len(held)}}


def label(scores: Sequence[dict]) -> bool | None:
    """Whether an answer is one to give more often (True), less often (False), or neither (None).

    Args:
        scores: by axis, one for each rater.
    """
    means = {axis: sum(s[axis] for s in scores) / len(scores) for axis in AXES}
    whole = sum(means.values()) / len(means)
    if whole <= BAD or means["professionalism"] < 1:  # 0 on this axis is harm
        return False
    return True if whole >= GOOD and min(means.values()) >= 1 else None


def labelled(ratings: Sequence[dict]) -> list[dict]:
    """One row for each answer: `item`, `messages`, `answer`, `label`; several raters are averaged first."""
    by: dict[str, list[dict]] = {}
    for row in ratings:
        by.setdefault(row["id"], []).append(row)
    return [
        {k: rows[0][k] for k in ("id", "item", "messages", "answer")} | {"label": label([r["scores"] for r in rows])}
        for rows in by.values()
    ]


def split(rows: Sequence[dict], share: float, seed: int) -> tuple[list[dict], list[dict]]:
    """Rows with a label to train on, and rows whose questions are held out; both answers to one question stay together.

    Raises:
        UserError: not one good and one bad answer on each side.
    """
    clear = [r for r in rows if r["label"] is not None]
    items = list(dict.fromkeys(r["item"] for r in clear))
    held = set(random.Random(seed).sample(items, round(share * len(items))))
    parts = [r for r in clear if r["item"] not in held], [r for r in clear if r["item"] in held]
    if any({r["label"] for r in part} != {True, False} for part in parts):
        raise UserError(
            f"{len(clear)} of {len(rows)} rated answers are clearly good or bad, too few to train with and to hold out "
            f"questions; rate more answers, good ones and bad ones."
        )
    return parts


def kto(rows: Sequence[dict], system: str) -> list[dict]:
    """ms-swift's rows for KTO: `messages` that end with the answer, and `label`."""
    return [{"messages": _talk(r, system), "label": r["label"]} for r in rows]


def dpo(rows: Sequence[dict], system: str) -> list[dict]:
    """ms-swift's rows for DPO: `messages` that end with the good answer, and `rejected_response`, for each pair.

    Raises:
        UserError: no question has both.
    """
    pairs = [
        (good, bad)
        for good in rows
        for bad in rows
        if good["item"] == bad["item"] and good["label"] is True and bad["label"] is False
    ]
    if not pairs:
        raise UserError("DPO needs a good and a bad answer to one question, and no question has both; train by kto.")
    return [{"messages": _talk(good, system), "rejected_response": bad["answer"]} for good, bad in pairs]


def _talk(row: dict, system: str) -> list[dict]:
    said = [m for m in row["messages"] if m["role"] != "system"]
    return [{"role": "system", "content": system}, *said, {"role": "assistant", "content": row["answer"]}]


def write(rows: Sequence[dict], file: Path) -> None:
    """Write rows as JSONL in UTF-8."""
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def arguments(run: Run, work: Path) -> dict:
    """The arguments of `swift rlhf`: those of the profile's `sft`, then those of `improve`, then the paths."""
    given = {k: v for k, v in run.profile.improve.items() if k not in OWN and v is not None}
    shared = {k: v for k, v in sft.arguments(run, work).items() if k not in NOT_HERE}
    return shared | {
        "dataset": [str(work / "preferences.jsonl")],
        "adapters": [str(run.adapter)],  # goes on from here
        "ref_adapters": [str(run.adapter)],  # and is held near to it
        "eval_strategy": "no",
        "eval_on_start": False,
        "packing": False,  # a few short answers; and KTO needs them side by side
        "swanlab_exp_name": f"{run.profile.name}-{given['rlhf_type']}",
        **given,
    }


def write_yaml(run: Run, work: Path, **more) -> Path:
    """Write `rlhf.yaml`, with the paths of `work`; `swift rlhf rlhf.yaml` runs it without this package."""
    text = yaml.safe_dump(arguments(run, work) | more, allow_unicode=True, sort_keys=False, width=120)
    file = work / "rlhf.yaml"
    file.write_text(f"# swift rlhf {file.name}\n{text}", encoding="utf-8")
    return file


def command(file: Path) -> list:
    """The command that trains with preferences."""
    return ["swift", "rlhf", file]


def train(run: Run, work: Path) -> dict:
    """Train in `work`, from its last checkpoint if there is one; leaves `adapter/`, `rlhf.yaml` and `rlhf.log`.

    Returns:
        `seconds` of this start, `steps`, `command`, `peak_rss_gib`, `train_log` (loss and rewards by step).
    """
    before = sft.last_checkpoint(work)
    resume = {"resume_from_checkpoint": str(before)} if before else {}
    file, log = write_yaml(run, work, **resume), work / "swift" / "logging.jsonl"
    with Progress(sft.step_of(before), "swift rlhf") as progress:
        finished = process.run(
            command(file),
            work / "rlhf.log",
            env={"TRL_EXPERIMENTAL_SILENCE": "1"},
            watch=lambda: progress.update(sft.read_log(log)),
            cwd=work,
        )
        rows = sft.read_log(log)
        progress.update(rows)
    sft.keep_adapter(work, work / "rlhf.log")
    write_yaml(run, work)  # as for a whole training; and the folder is about to be renamed
    file.write_text(file.read_text(encoding="utf-8").replace(str(work), str(run.dir("feedback"))), encoding="utf-8")
    return {
        "command": process.shown(command(Path("rlhf.yaml"))),
        "seconds": round(finished.seconds, 1),
        "resumed_at": sft.step_of(before),
        "steps": max((r["step"] for r in rows), default=0),
        "peak_rss_gib": round(finished.peak_rss / 2**30, 2),
        "train_log": [
            {k: r[k] for k in ("step", "loss", "kl", "rewards/chosen", "rewards/rejected") if k in r} for r in rows
        ],
    }
