"""What fits on a card: the largest batch for each way to save memory, ranked by expected speed."""

import shlex
from dataclasses import replace

from .cards import GIB, Card
from .formula import PeakFormula
from .hours import flops_per_token
from .recipe import NO_EFFECT, Recipe

UTILISATION = 0.4  # share of the data sheet's FLOP/s; an assumption, not a measurement
MARGIN = 0.08  # of the card, for what the allocator keeps in pieces
WAYS = {
    "16-bit base": {},
    "16-bit base, no checkpointing": {"gradient_checkpointing": False},
    "16-bit base, fused loss": {"use_liger_kernel": True},
    "16-bit base, fused loss, no checkpointing": {"use_liger_kernel": True, "gradient_checkpointing": False},
    "4-bit base": {"quant_method": "bnb", "quant_bits": 4},
    "4-bit base, fused loss": {"quant_method": "bnb", "quant_bits": 4, "use_liger_kernel": True},
}


def ways(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe in each of `WAYS`; full fine-tuning and a CPU have no 4-bit base."""
    plain = replace(recipe, quant_method=None, quant_bits=None, use_liger_kernel=False, gradient_checkpointing=True)
    unquantized = recipe.tuner_type == "full" or recipe.use_cpu
    return {n: replace(plain, **c) for n, c in WAYS.items() if not (unquantized and "quant_bits" in c)}


def fitting_settings(recipe: Recipe, card: Card, formulas: dict[str, PeakFormula], lengths=(1024, 2048, 3072, 4096)):
    """Rows of a table, fastest first, then the one with more tokens in a micro-batch.

    Speed is arithmetic alone: what recomputation costs is in it, what unpacking a 4-bit base costs is not.

    Args:
        formulas: by the names of `WAYS`, fitted to this recipe.

    Returns:
        Dicts: `way`, `batch`, `length`, `predicted_gib`, `tokens_per_second` (None without the card's FLOP/s), and
        `changes`: the arguments of ms-swift that make it.
    """
    capacity = (card.gib * GIB - card.context) * (1 - MARGIN)
    rows = []
    for way, changed in ways(recipe).items():
        for length in lengths:
            share = recipe.supervised_share if changed.keeps else 1.0
            tokens = formulas[way].most_tokens(capacity, share, length)
            if tokens:
                flops = flops_per_token(changed, length)
                rows.append(
                    {
                        "way": way,
                        "batch": tokens // length,
                        "length": length,
                        "predicted_gib": round(formulas[way].peak(tokens, round(tokens * share), length) / GIB, 1),
                        "tokens_per_second": round(UTILISATION * card.flops / flops) if card.flops else None,
                        "changes": {
                            "gradient_checkpointing": changed.gradient_checkpointing,
                            "per_device_train_batch_size": tokens // length,
                            "max_length": length,
                            **WAYS[way],
                        },
                    }
                )
    return sorted(rows, key=lambda r: (-(r["tokens_per_second"] or 0), -r["batch"] * r["length"]))


def command(settings: dict, changes: dict, model: str) -> str:
    """`swift sft …` for a flat dict of its arguments with some changed. Unset ones are left out."""
    plain = {"quant_method": None, "quant_bits": None} if "quant_bits" not in changes else {}
    words = ["swift", "sft", "--model", model]
    for key, value in (settings | plain | changes).items():
        if value is not None and key not in ("model", *(NO_EFFECT & {"seed", "data_seed"})):
            values = value if isinstance(value, list | tuple) else [value]
            words += [f"--{key}", *(str(v).lower() if isinstance(v, bool) else str(v) for v in values)]
    return shlex.join(words)
