"""Merging the adapter into the base model with `swift export`, and proving the merge. The stage `export`."""

import json
import shutil
from pathlib import Path

from . import merge, model_card, models, process, prompt, sft
from .errors import UserError
from .run import Run

PROMPTS = 20
FULL = ("No space left on device", "File too large", "Disk quota exceeded")  # what a log says of a full disk


def export_command(run: Run, out: Path) -> list:
    """`swift export` for this run. `out` must not exist: ms-swift refuses, or on some paths keeps a stale merge."""
    flags = {
        "model": models.fetch(run.profile.model),
        "model_type": "llama",
        "adapters": run.adapter,
        "template": run.profile.sft["template"],
        **{k: v for k, v in run.profile.export.items() if v is not None},
        "torch_dtype": run.profile.sft["torch_dtype"],
        "output_dir": out,
    }
    return [
        "swift",
        "export",
        *(x for k, v in flags.items() for x in (f"--{k}", str(v).lower() if isinstance(v, bool) else v)),
    ]


def real_prompts(run: Run, count: int = PROMPTS) -> list[list[dict]]:
    """The shortest first messages of the held-out and the training dialogues, below the profile's system prompt."""
    system = {"role": "system", "content": run.profile.sft["system"]}
    rows = [json.loads(x) for f in (run.val_file, run.train_file) for x in f.read_text(encoding="utf-8").splitlines()]
    asked = sorted((row["messages"][0] for row in rows), key=lambda m: len(m["content"]))
    return [[system, message] for message in asked[:count]]


def inputs(run: Run) -> list[Path]:
    """Files outside `outputs/` that the stage depends on."""
    return [Path(prompt.__file__), Path(model_card.__file__), *Path(merge.__file__).parent.glob("[a-z]*.py")]


def build(run: Run, work: Path) -> dict:
    """Write `model/` (safetensors and a card) and `comparison.json`; raise if the merge is not the adapted model."""
    base, out, log = models.fetch(run.profile.model), work / "model", work / "export.log"
    merge.folder.check_model(base)
    merge.folder.check_adapter(run.adapter, base)
    try:
        finished = _merge(run, out, log)
        found = _proofs(run, base, out, log)
        (work / "comparison.json").write_text(json.dumps(found.pop("rows")))
        model_card.write(run, base, out, found)
    except OSError as error:
        raise UserError(
            f"{work.parent} could not be written ({error.strerror}); free some space and run again."
        ) from error
    return {
        "command": process.shown(export_command(run, run.merged)),
        "merge_seconds": round(finished.seconds, 1),
        **found,
        "files": merge.folder.files(out),
        "as_lmdeploy_reads": merge.folder.as_lmdeploy_reads(out),
    }


def _merge(run: Run, out: Path, log: Path) -> process.Finished:
    """`swift export`, and the prompt of the training beside what it wrote."""
    offline = {**sft.OFFLINE, "CUDA_VISIBLE_DEVICES": ""} if run.profile.sft["use_cpu"] else {}
    try:
        finished = process.run(export_command(run, out), log, offline, cwd=out.parent)
    except UserError as error:
        full = [x for x in FULL if x in log.read_text(errors="replace")]
        if full:
            raise UserError(
                f"the disk is full: {full[0]} while swift export wrote the merged model; nothing was kept, free some "
                f"space and run again. Whole log: {log}"
            ) from error
        raise
    (out / "args.json").unlink(missing_ok=True)  # holds paths of this machine and is not part of a model
    for name in ("checkpoint-merged", "output"):
        shutil.rmtree(out.parent / name, ignore_errors=True)
    merge.folder.check_model(out)
    if not prompt.write(out, run.profile.sft):  # a server joins messages as the training did
        raise UserError(
            f"sft.template: no template for serving is known for {run.profile.sft['template']!r}; "
            f"choose one of {', '.join(prompt.TEMPLATES)}."
        )
    return finished


def _proofs(run: Run, base: Path, out: Path, log: Path) -> dict:
    """What the files, the weights and the predictions of the merged model show; raises at the first that is wrong."""
    pickles = [f.name for f in out.iterdir() if f.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt")]
    if pickles:
        raise UserError(f"swift export wrote a pickle, which can run code when loaded ({pickles[0]}); read {log}.")
    limit = run.profile.export["max_shard_size"]
    shards = merge.folder.shards(out, limit)
    large = [s["file"] for s in shards if not s["within_limit"]]
    if large:
        raise UserError(f"{large[0]} is larger than export.max_shard_size, {limit}; read {log}.")
    weights = merge.weights.compare(base, run.adapter, out)
    merge.weights.refuse(weights)
    rows = merge.predictions.rows(base, run.adapter, out, real_prompts(run))
    predictions = merge.predictions.summary(rows)
    merge.predictions.refuse(predictions)
    return {"max_shard_size": limit, "shards": shards, "weights": weights, "predictions": predictions, "rows": rows}
