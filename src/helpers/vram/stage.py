"""The stage `vram`: the 8B recipe traced, what fits, serving and hours; the run in force predicted and measured."""

import json
from dataclasses import replace
from pathlib import Path

from .. import llama3
from ..profile import gpu_memory_gib, load
from ..run import Run
from . import fits, formula, hours, serving
from .cards import GIB, Card, find_card
from .recipe import Memory, Recipe, of_profile

RECIPE = "h100-llama3.1-8b"  # what a profile of another model is compared with
PUBLISHED = {"dialogues": 8100, "tokens": 8100 * 520}  # the recipe's data set, about
LEVERS = {
    "rank 1": {"lora_rank": 1},
    "rank 64": {"lora_rank": 64},
    "rank 256": {"lora_rank": 256},
    "batch 1": {"per_device_train_batch_size": 1},
    "no checkpointing": {"gradient_checkpointing": False},
    "4-bit base": {"quant_method": "bnb", "quant_bits": 4},
    "fused loss": {"use_liger_kernel": True},
    "logits of every token": {"use_logits_to_keep": False},
}


def inputs(run: Run) -> list[Path]:
    """The other files of this package: what is predicted depends on them."""
    return sorted(p for p in Path(__file__).parent.glob("*.py") if p.name != Path(__file__).name)


def build(run: Run, work: Path) -> dict:
    """Write `coefficients.json` and `timeline.json`; return every number that page 04 shows."""
    from .estimate import estimate_step
    from .fitting import fit_tokens
    from .measure import thinned, timeline

    data = run.record("data")
    share = data["supervised_share"]
    profile = run.profile if llama3.is_shape_of(run.profile.model) else load(RECIPE)
    card = find_card(run.profile.vram["gpu_memory_gib"])
    recipe = replace(of_profile(profile), supervised_share=share)
    everything = estimate_step(replace(recipe, use_logits_to_keep=False), card)
    own = estimate_step(recipe, card)
    fused = estimate_step(replace(recipe, use_liger_kernel=True), card)
    line = timeline([size if number > 0 else -size for number, size, _ in own.events])
    (work / "timeline.json").write_text(json.dumps(thinned(line)))
    formulas = {name: fit_tokens(way, card) for name, way in fits.ways(recipe).items()}
    about = {"recipe": profile.name, "gpu": card.name, "bytes_on_top": card.context, "supervised_share": share}
    formula.save(formulas, work / "coefficients.json", **about)
    rows = fits.fitting_settings(recipe, card, formulas)
    return {
        "recipe": profile.name,
        "card": {"name": card.name, "gib": card.gib},
        "supervised_share": share,
        "predicted": {
            "logits of every token": summary(everything),
            "logits of supervised tokens": summary(own),
            "fused loss": summary(fused),
        },
        "levers": {"as it is": own.peak_allocated} | _levers(recipe, card),
        "fits": rows,
        "commands": [fits.command(profile.sft, row["changes"], profile.model["id"]) for row in rows[:3]],
        "serving": _serving(profile, recipe, card),
        "hours": _hours(run, recipe, card, profile.sft["system"]),
        "recipe_measured": "not measured yet",
        "run": _own_run(run, share),
    }


def summary(memory: Memory) -> dict:
    """A prediction for a record, in bytes."""
    keys = ("peak_allocated", "peak_reserved", "expandable", "nvidia_smi", "phase", "breakdown", "phases", "seconds")
    return {k: getattr(memory, k) for k in keys}


def _levers(recipe: Recipe, card: Card) -> dict[str, int]:
    from .estimate import estimate_step

    return {name: estimate_step(replace(recipe, **change), card).peak_allocated for name, change in LEVERS.items()}


def _serving(profile, recipe: Recipe, card: Card) -> dict:
    count, length = profile.serve["cache_max_entry_count"], profile.serve["session_len"]
    return {
        "kv_bytes_per_token": serving.kv_cache_bytes(recipe.config),
        "session_len": length,
        "at": {str(r): vars(serving.serving_memory(recipe.config, card, r, length)) for r in (0.01, 0.2, 0.5, count)},
        "share_at_18_gb": serving.share_for(recipe.config, card, 18),
        "share_at_22_gb": serving.share_for(recipe.config, card, 22),
    }


def _hours(run: Run, recipe: Recipe, card: Card, system: str) -> dict:
    lengths = json.loads((run.dir("data") / "lengths.json").read_text())
    system_tokens = len(llama3.tokenizer().encode(system, bos=False, eos=False))
    own = hours.llama3_tokens(lengths, system_tokens, recipe.max_length)
    sets = {
        "your dialogues": (len(lengths), own),
        "the recipe's data set, about": (PUBLISHED["dialogues"], PUBLISHED["tokens"]),
    }
    return {
        "utilisation": fits.UTILISATION,
        "peak_flops": card.flops,
        "epochs": {
            name: vars(hours.epoch(recipe, rows, tokens, card.flops, fits.UTILISATION)) | {"dialogues": rows}
            for name, (rows, tokens) in sets.items()
            if card.flops
        },
    }


def _own_run(run: Run, share: float) -> dict:
    """The profile in force: predicted and measured, memory and seconds a step."""
    from .estimate import estimate_step
    from .measure import gemm_flops, measure

    recipe = replace(of_profile(run.profile), supervised_share=share)
    predicted = estimate_step(recipe, find_card(run.profile.vram["gpu_memory_gib"]))
    device = "cpu" if recipe.use_cpu else "cuda" if gpu_memory_gib() else None
    found = measure(recipe, device) if device else None
    sft, data = run.record("sft"), run.record("data")
    tokens = data["tokens"] / data["train_rows"] * recipe.per_device_train_batch_size
    tokens *= run.profile.sft["gradient_accumulation_steps"]
    flops = tokens * hours.flops_per_token(recipe, data["tokens"] / data["train_rows"])
    speed = seconds_per_step(run.dir("sft") / "swift" / "logging.jsonl")
    peak = gemm_flops(recipe.torch_dtype) if device == "cpu" else None
    return {
        "predicted": summary(predicted),
        "measured": found,
        "adapter_parameters": predicted.trainable,
        "trained_parameters": sft["trainable_parameters"],
        "peak_rss_gib": sft["peak_rss_gib"],
        "peak_reserved_gib": sft["peak_reserved_gib"],
        "flops_per_step": flops,
        "seconds_per_step": speed,
        "matrix_product_flops": peak,
        "utilisation": flops / speed / peak if speed and peak else None,
    }


def seconds_per_step(log: Path) -> float | None:
    """Mean seconds of an optimizer step after the first, from ms-swift's `logging.jsonl`; None without two steps."""
    from ..sft import read_log

    spent = [(r["step"], r["step"] * r["train_speed(s/it)"]) for r in read_log(log) if "loss" in r]
    if len(spent) < 2 or spent[-1][0] == spent[0][0]:
        return None
    return (spent[-1][1] - spent[0][1]) / (spent[-1][0] - spent[0][0])


def gib(size: float | None) -> float | None:
    """Bytes as GiB for a table, rounded to hundredths."""
    return None if size is None else round(size / GIB, 2)
