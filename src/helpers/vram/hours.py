"""How long an epoch takes: tokens, arithmetic a token, and the share of a device's peak that training reaches."""

import random
from dataclasses import dataclass

from ..inspection.report import packing
from .recipe import Recipe
from .shape import Shape

MESSAGE_TOKENS = 5  # Llama 3's template: start and end of header, role, blank line, end of turn


@dataclass(frozen=True)
class Work:
    """What an epoch computes: `tokens` of `dialogues`, `computed` with padding; `sequences` are the rows of batches."""

    dialogues: int
    tokens: int
    computed: int
    sequences: int


@dataclass(frozen=True)
class Epoch:
    """Steps and seconds of an epoch. `flops_per_token` counts what is computed, recomputation included."""

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


def padded(lengths: list[int], recipe: Recipe, seed: int = 0) -> Work:
    """Rows of unequal length: each micro-batch, drawn with a seed, is filled up to its longest row."""
    order, size = list(lengths), recipe.per_device_train_batch_size
    random.Random(seed).shuffle(order)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    return Work(len(order), sum(order), sum(max(b) * len(b) for b in batches), len(order))


def packed(lengths: list[int], recipe: Recipe) -> Work:
    """Dialogues laid end to end into sequences of `max_length` by ms-swift's packing, which page 02 shows."""
    sequences = packing(lengths, recipe.max_length)["sequences"]
    return Work(len(lengths), sum(lengths), sum(lengths), sequences)


def epoch(recipe: Recipe, work: Work, peak_flops: float, utilisation: float) -> Epoch:
    """Predict an epoch.

    Args:
        peak_flops: of the device. utilisation: the share of it that is reached; an assumption until measured.
    """
    batches = -(-work.sequences // recipe.per_device_train_batch_size)
    steps = -(-batches // (recipe.gradient_accumulation_steps or -(-16 // recipe.per_device_train_batch_size)))
    each = flops_per_token(recipe, work.tokens / work.dialogues)
    return Epoch(steps, each, work.computed * each / (peak_flops * utilisation))


def llama3_lengths(dialogues: list[dict], system: int, at_most: int) -> list[int]:
    """Tokens of each dialogue in Llama 3's tokenizer and template.

    Args:
        dialogues: as stage `data` counted them (`llama3_tokens`, `turns`).
        system: tokens of the system prompt. at_most: `max_length`, where longer dialogues are cut.
    """
    around = system + MESSAGE_TOKENS + 1
    return [min(at_most, d["llama3_tokens"] + 2 * d["turns"] * MESSAGE_TOKENS + around) for d in dialogues]
