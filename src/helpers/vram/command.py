"""The verb `python -m helpers vram`: settings in, one answer out, as text or as JSON."""

from dataclasses import asdict
from pathlib import Path

import yaml

from ..errors import UserError
from ..profile import load, resolve
from ..run import Run
from . import cards, recipe
from .cards import GIB, Card, RecipeError
from .recipe import Memory, Recipe


def settings(pairs: list[str]) -> dict:
    """`key=value` words as a dict; values are read as YAML.

    Raises:
        RecipeError: a word without `=`, a value that is not YAML.
    """
    out = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise RecipeError(f"--set {pair}: write key=value, such as --set lora_rank=16.")
        try:
            out[key.strip()] = _number(yaml.safe_load(value))
        except yaml.YAMLError:
            raise RecipeError(f"{key}: {value!r} is not YAML; lists look like [q_proj, v_proj].") from None
    return out


def _number(value):
    """YAML 1.1 reads 2e-4 as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def asked(profile: str | None, config: Path | None, pairs: list[str]) -> tuple[Recipe, list[str], float | None]:
    """The recipe, where its parts come from, and the profile's card in GB (None without a profile)."""
    changes, notes = settings(pairs), []
    if config and not profile:
        notes.append("settings not given are ms-swift's defaults")
        return recipe.from_settings(recipe.read_config(config), changes), notes, None
    chosen = load(profile, "asked for by name") if profile else resolve()
    notes.append(f"settings: profile {chosen}")
    if config:
        made = recipe.from_settings(recipe.read_config(config), chosen.sft | changes)
    else:
        made = recipe.of_profile(chosen, **changes)
    if made.keeps and "supervised_share" not in changes:
        made, note = with_own_share(made)
        notes.append(note)
    return made, notes, chosen.vram["gpu_memory_gib"]


def with_own_share(made: Recipe) -> tuple[Recipe, str]:
    """The recipe at the supervised share that stage `data` counted, where it has run."""
    from dataclasses import replace

    try:
        share = Run.current().record("data")["supervised_share"]
    except UserError:
        return made, "supervised_share: 1, because stage data has not run"
    return replace(made, supervised_share=share), f"supervised_share: {share}, counted in your data by stage data"


def assumptions(made: Recipe, card: Card, whole: bool) -> list[str]:
    """What the number rests on, in sentences."""
    said = [
        "every row is as long as max_length; predicted, not measured",
        "one device; the step after the first, which makes the optimizer's states",
        "all layers traced" if whole else "2 and 3 layers traced and continued to all",
    ]
    if made.use_cpu:
        return [*said, "a CPU: tensors are counted, neither an allocator nor a context"]
    said.append(f"reserved: PyTorch's allocator replayed on {card.name}, the same shapes in every step")
    said.append(f"nvidia-smi: reserved and {card.context / 2**20:.0f} MiB of CUDA context")
    if made.flash:
        said.append("flash attention: a stand-in with its saved tensors; the workspace is read from its design")
    if made.quant_bits:
        said.append("4-bit base: a stand-in with bitsandbytes' sizes")
    if made.use_liger_kernel:
        said.append("Liger: a stand-in for its fused loss; its other kernels are not modelled")
    if made.keeps and made.per_device_train_batch_size > 1 and not made.one_row:
        said.append("several rows: the supervised tokens stand at the end of each row")
    return said


def run(
    profile: str | None, config: Path | None, pairs: list[str], gpu: str | None, whole: bool
) -> tuple[Recipe, Card, Memory, list[str]]:
    """Answer; imports torch."""
    made, notes, own_card = asked(profile, config, pairs)
    card = cards.find_card(gpu if gpu is not None else own_card or 80)
    if whole:
        from .trace import trace_step as predict
    else:
        from .estimate import estimate_step as predict
    memory = predict(made, card)
    if memory.peak_reserved is None and not made.use_cpu:  # a model whose layers are not alike
        from .trace import trace_step

        memory, whole = trace_step(made, card), True
    return made, card, memory, notes + assumptions(made, card, whole)


def as_dict(made: Recipe, card: Card, memory: Memory, notes: list[str]) -> dict:
    """The answer for `--json`. All sizes in bytes."""
    given = {k: v for k, v in asdict(made).items() if k != "config"}
    return {
        "peak_allocated_bytes": memory.peak_allocated,
        "peak_reserved_bytes": memory.peak_reserved,
        "peak_reserved_expandable_bytes": memory.expandable,
        "nvidia_smi_bytes": memory.nvidia_smi,
        "phase": memory.phase,
        "breakdown": memory.breakdown,
        "phases": memory.phases,
        "parameters": memory.parameters,
        "trainable_parameters": memory.trainable,
        "seconds": round(memory.seconds, 3),
        "gpu": None if made.use_cpu else {"name": card.name, "gib": card.gib},
        "fits": None if made.use_cpu else memory.nvidia_smi <= card.gib * GIB,
        "recipe": given,
        "assumptions": notes,
    }


def as_text(made: Recipe, card: Card, memory: Memory, notes: list[str]) -> str:
    """The answer as a table in GiB."""
    rows = [(f"  {name}", size) for name, size in memory.breakdown.items()]
    rows += [("peak allocated", memory.peak_allocated), ("peak reserved", memory.peak_reserved)]
    rows += [("  with expandable_segments", memory.expandable), ("nvidia-smi", memory.nvidia_smi)]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}s} {size / GIB:9.3f} GiB" for name, size in rows if size is not None]
    if not made.use_cpu:
        fits = "fits" if memory.nvidia_smi <= card.gib * GIB else "does not fit"
        lines.append(f"{fits} on {card.name}, {card.gib:.1f} GiB")
    return "\n".join([f"predicted, at the peak in phase {memory.phase!r}:", *lines, *(f"- {n}" for n in notes)])
