"""How long an epoch takes: tokens, arithmetic a token, and the share of a device's peak that training reaches."""

from dataclasses import dataclass

from .recipe import Recipe
from .shape import Shape

MESSAGE_TOKENS = 5  # Llama 3's template: start and end of header, role, blank line, end of turn


@dataclass(frozen=True)
class Epoch:
    """Steps and seconds of an epoch. `flops_per_token` counts what is computed, recomputation included."""

    tokens: int
    steps: int
    flops_per_token: float
    seconds: float


def flops_per_token(recipe: Recipe, length: float) -> float:
    """FLOPs of training on one token in a row of `length` tokens (the mean length of a dialogue, if packed).

    Forward once. Backward: gradients of the inputs once, of the weights once more where they are trained; twice for
    attention. Checkpointing repeats the forward pass of the layers. LoRA's own matrices are left out, below 1 %.
    """
    kept = recipe.supervised_share if recipe.keeps else 1.0
    linear, attention, head = Shape.of(recipe.config).forward_flops(length, kept)
    times = 3 if recipe.tuner_type == "full" else 2
    again = linear + attention if recipe.gradient_checkpointing else 0
    return times * (linear + head) + 3 * attention + again


def epoch(recipe: Recipe, rows: int, tokens: int, peak_flops: float, utilisation: float) -> Epoch:
    """Predict an epoch.

    Args:
        rows: dialogues. tokens: of all of them together, in this model's tokenizer.
        peak_flops: of the device. utilisation: the share of it that is reached; an assumption until measured.
    """
    batches = -(-rows // recipe.per_device_train_batch_size)
    if recipe.packing:
        batches = -(-tokens // recipe.tokens)
    steps = -(-batches // (recipe.gradient_accumulation_steps or -(-16 // recipe.per_device_train_batch_size)))
    each = flops_per_token(recipe, tokens / rows)
    return Epoch(tokens, steps, each, tokens * each / (peak_flops * utilisation))


def llama3_tokens(lengths: list[dict], system: int, at_most: int) -> int:
    """Tokens of a dataset in Llama 3's tokenizer and template.

    Args:
        lengths: dialogues as stage `data` counted them (`llama3_tokens`, `turns`).
        system: tokens of the system prompt. at_most: `max_length`, where longer dialogues are cut.
    """
    around = system + MESSAGE_TOKENS + 1
    return sum(min(at_most, d["llama3_tokens"] + 2 * d["turns"] * MESSAGE_TOKENS + around) for d in lengths)
