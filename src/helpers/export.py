"""Merging the adapter into the base model with `swift export`, and proving the merge. The stage `export`."""

import hashlib
import json
import shutil
from pathlib import Path

from . import merge, models, process, prompt, sft
from .errors import UserError
from .run import Run

PROMPTS = 20
MAX_KL = 0.05  # nats; rounding of a merge stays far below, a forgotten or doubled adapter far above


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


def files(folder: Path) -> list[dict]:
    """Name, bytes and sha256 of each file of a model folder, by name."""
    return [
        {"file": f.name, "bytes": f.stat().st_size, "sha256": hashlib.sha256(f.read_bytes()).hexdigest()}
        for f in sorted(folder.iterdir())
        if f.is_file()
    ]


def compare_logits(base: Path, adapter: Path, merged: Path, prompts: list[list[dict]]) -> list[dict]:
    """Next-token logits of the merged model against base + adapter, in float32 on the CPU.

    Args:
        prompts: conversations that end with the visitor, as chat messages.

    Returns:
        Per prompt: `tokens`, `max_abs_diff` (over all positions and the whole vocabulary), `max_kl` in nats (the
        position that differs most), `same_next` (the greedy next token is the same).
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(merged)
    loaded = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(loaded, adapter).eval()
    one = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
    rows = []
    for asked in prompts:
        text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        with torch.inference_mode():
            a, b = tuned(input_ids=ids).logits[0].log_softmax(-1), one(input_ids=ids).logits[0].log_softmax(-1)
        rows.append(
            {
                "tokens": ids.shape[1],
                "max_abs_diff": (a - b).abs().max().item(),
                "max_kl": (a.exp() * (a - b)).sum(-1).max().item(),
                "same_next": bool(a[-1].argmax() == b[-1].argmax()),
            }
        )
    return rows


def real_prompts(run: Run, count: int = PROMPTS) -> list[list[dict]]:
    """Questions of held-out dialogues, then of training dialogues, below the profile's system prompt."""
    system = {"role": "system", "content": run.profile.sft["system"]}
    rows = [json.loads(x) for f in (run.val_file, run.train_file) for x in f.read_text(encoding="utf-8").splitlines()]
    return [[system, row["messages"][0]] for row in rows[:count]]


def is_llama_licence(model: dict) -> bool:
    """Whether the base model is under the Llama 3.1 Community License, which asks things of a derivative."""
    return "llama 3.1" in model["license"].lower()


NOTICE = (
    "Llama 3.1 is licensed under the Llama 3.1 Community License, "
    "Copyright © Meta Platforms, Inc. All Rights Reserved.\n"
)


def card(run: Run, record: dict) -> str:
    """The model card, from records alone; a derivative of Llama 3.1 says so in its name, as its licence asks."""
    data, trained, model = run.record("data"), run.record("sft"), run.profile.model
    where = trained["machine"]["gpu"] or trained["machine"]["cpu"]
    llama = is_llama_licence(model)
    name = f"{model['name']}-{run.profile.serve['model_name']}" if llama else run.profile.serve["model_name"]
    built = "**Built with Llama.** The licence's notice stands in `NOTICE`.\n\n" if llama else ""
    weights, proof = record["weights"], "predictions alone, the adapter is not plain LoRA"
    if weights:
        proof = f"{weights['modules']} matrices in {weights['format']}, error {weights['worst']:.2f} of rounding's bound"
    return f"""---
base_model: {model["name"]}
license: {"llama3.1" if llama else "other"}
language: zh
library_name: transformers
---
# {name}

{built}{model["name"]} ({model["license"]}), fine-tuned with LoRA for Chinese counselling dialogues, adapter merged.

**This is not a clinician.** In an emergency in mainland China call 12356 (psychological support), 120 or 110.

| | |
|---|---|
| profile | {run.profile.name} |
| data | {", ".join(data["sources"].values())}: {data["train_dialogues"]} dialogues (the book's own are CC BY 4.0) |
| steps | {trained["steps"]} in {trained["seconds"]:.0f} s on {where} |
| held-out loss | {trained["eval_loss_before"]}, then {trained["eval_loss_after"]} ({data["val_rows"]} dialogues) |
| merge | {proof} |
| predictions | max abs difference of log-probabilities {record["max_abs_diff"]:.2g} on {record["prompts"]} prompts |
| prompt | the template `{run.profile.sft["template"]}` of the training, in `chat_template.jinja` |

It must not be used as a therapist, for diagnosis, for advice on medicines, or in a crisis without a person who watches.
Limits: a demonstration of a method. It invents facts, misses risk, and must not be offered to people in need.
"""


def inputs(run: Run) -> list[Path]:
    """Files outside `outputs/` that the stage depends on."""
    return [Path(prompt.__file__), Path(merge.__file__)]


def build(run: Run, work: Path) -> dict:
    """Write `model/` (safetensors and a card) and `comparison.json`; raise if the merge is not the adapted model."""
    out, log = work / "model", work / "export.log"
    offline = {**sft.OFFLINE, "CUDA_VISIBLE_DEVICES": ""} if run.profile.sft["use_cpu"] else {}
    command = export_command(run, out)
    finished = process.run(command, log, offline, cwd=work)
    for stray in (out / "args.json",):  # holds paths of this machine and is not part of a model
        stray.unlink(missing_ok=True)
    prompt.write(out, run.profile.sft)  # a server joins messages as the training did
    for name in ("checkpoint-merged", "output"):
        shutil.rmtree(work / name, ignore_errors=True)
    listed = files(out)
    pickles = [f["file"] for f in listed if f["file"].endswith((".bin", ".pt", ".pkl"))]
    if pickles or not any(f["file"].endswith(".safetensors") for f in listed):
        raise UserError(f"swift export wrote no safetensors, or a pickle ({pickles}); read {log}.")
    base = models.fetch(run.profile.model)
    weights = merge.compare(base, run.adapter, out) if merge.provable(run.adapter) else None
    if weights:
        merge.refuse(weights)
    torn = merge.shards(out, run.profile.export["max_shard_size"])
    if torn:
        raise UserError(f"the shards are not as asked: {torn[0]}; read {log}.")
    rows = compare_logits(base, run.adapter, out, real_prompts(run))
    (work / "comparison.json").write_text(json.dumps(rows))
    summary = {
        "prompts": len(rows),
        "max_abs_diff": max(r["max_abs_diff"] for r in rows),
        "max_kl": max(r["max_kl"] for r in rows),
        "same_next": sum(r["same_next"] for r in rows),
    }
    if summary["max_kl"] > MAX_KL:
        raise UserError(
            f"the merged model is not base + adapter: its predictions differ by {summary['max_kl']:.2g} nats "
            f"(more than {MAX_KL}); nothing was kept. Read {log}, and merge into a fresh folder."
        )
    (out / "README.md").write_text(card(run, {**summary, "weights": weights}), encoding="utf-8")
    if is_llama_licence(run.profile.model):
        (out / "NOTICE").write_text(NOTICE, encoding="utf-8")
    return {
        "command": process.shown(export_command(run, run.merged)),
        "merge_seconds": round(finished.seconds, 1),
        "dtype": run.profile.sft["torch_dtype"],
        "files": files(out),
        "weights": weights,
        "as_lmdeploy_reads": merge.as_lmdeploy_reads(out),
        **summary,
    }
