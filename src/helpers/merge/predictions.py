"""The proof in the predictions: the merged model against base + adapter, measured in what its format rounds anyway.

A format that keeps p bits rounds every weight of a right merge by up to half of its last place. How far that moves the
predictions of this model on these prompts nobody can say by hand, so it is measured: the exact sum W + s B A is rounded
to the same format once more, each weight up or down by chance. That has no bias and twice the variance of rounding to
the nearest, and KL grows with the variance: a right merge has half the yardstick's mean KL. A wrong one has far more.
"""

import functools
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import UserError
from . import weights

BITS = {"F32": 24, "BF16": 8, "F16": 11}  # of a number's significand, the hidden one included
ANSWER = 12  # tokens of the greedy answer that both models must give
SAVED, NEAREST, BY_CHANCE = "as saved", "rounded to the nearest", "rounded by chance"


def rows(base: Path, adapter: Path, merged: Path, prompts: list[list[dict]]) -> list[dict]:
    """Predictions of merged weights against base + adapter, on the CPU.

    What is saved in float32 is computed in float64, everything else in float32: what arithmetic rounds must stay far
    below what the format rounds.

    Args:
        prompts: conversations that end with the visitor, as chat messages.

    Returns:
        A row for each format (F32, BF16), kind of weights and prompt: `tokens`, `max_abs_diff` of the logits over the
        whole vocabulary and all positions behind the shared system prompt, `kl` (nats, a value for each of these),
        `same_answer` (the greedy answer of base + adapter, 12 tokens, is this model's too), `tie` (where it is not: by
        how much base + adapter preferred its token, in logits).
    """
    import torch
    from transformers import AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(merged, padding_side="left")
    texts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    saved, found = weights.kind(merged), []
    with torch.inference_mode():
        asked = _answered(base, adapter, tokenizer, texts)
        wanted = list(_logits(_tuned(base, adapter, _wide(saved, saved)), asked))
        for kind, what, model in _variants(base, adapter, merged, saved):
            for number, (want, got) in enumerate(zip(wanted, _logits(model, asked), strict=True)):
                row = {"format": kind, "weights": what, "prompt": number, "tokens": len(asked[number])}
                found.append(row | _against(want, got))
    return found


def _logits(model, asked: list) -> Iterator:
    """Logits in float64 of every prompt and answer, behind the system prompt that all share and that is read once."""
    shared = len(os.path.commonprefix([ids.tolist() for ids in asked])) if len(asked) > 1 else 0
    shared = min([shared, *(len(ids) - ANSWER - 1 for ids in asked)])
    cache = model(input_ids=asked[0][None, :shared]).past_key_values if shared else None
    for ids in asked:
        yield model(input_ids=ids[None, shared:], past_key_values=cache).logits[0].double()
        if cache:
            cache.crop(shared - len(ids))  # a negative number is how many to drop


def _load(folder: Path, dtype):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    for norm in (m for m in model.modules() if hasattr(m, "variance_epsilon")):
        norm.forward = functools.partial(_norm, norm)  # its own goes through float32, whatever the model computes in
    return model


def _norm(norm, x):
    from torch.nn.functional import rms_norm

    return rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


def _tuned(base: Path, adapter: Path, dtype):
    from peft import PeftModel

    return PeftModel.from_pretrained(_load(base, dtype), adapter).to(dtype).eval()


def _wide(kind: str, saved: str):
    """The type to compute in: one in which arithmetic rounds far less than the format, for what is saved in it."""
    import torch

    return torch.float64 if kind == saved == "F32" else torch.float32


def _answered(base: Path, adapter: Path, tokenizer, texts: list[str]) -> list:
    """Ids of each prompt, with the greedy answer of base + adapter behind it."""
    import torch

    batch = tokenizer(texts, return_tensors="pt", add_special_tokens=False, padding=True)
    model = _tuned(base, adapter, torch.float32)
    made = model.generate(**batch, max_new_tokens=ANSWER, min_new_tokens=ANSWER, do_sample=False)
    padding = (batch["attention_mask"] == 0).sum(-1).tolist()
    return [ids[skip:] for ids, skip in zip(made, padding, strict=True)]


def _variants(base: Path, adapter: Path, merged: Path, saved: str) -> Iterator[tuple]:
    """Format, kind and model: the saved weights, then the exact sum in each format, to the nearest and by chance."""
    import torch

    yield saved, SAVED, _load(merged, _wide(saved, saved))
    for kind in dict.fromkeys(("F32", "BF16", saved)):
        model = _load(base, _wide(kind, saved))
        if kind != saved:
            yield kind, NEAREST, _with(model, base, adapter, lambda w, k=kind: nearest(w, k))
        chance = torch.Generator().manual_seed(0)
        yield kind, BY_CHANCE, _with(model, base, adapter, lambda w, k=kind, g=chance: by_chance(w, k, g))


def _with(model, base: Path, adapter: Path, rounded: Callable):
    """The model with base + adapter in its adapted matrices, rounded."""
    before = dict(weights.tensors(base))
    for module, lora in weights.loras(adapter).items():
        weight = model.get_submodule(module).weight
        weight.data = rounded(lora.added_to(before[f"{module}.weight"][0]())).to(weight.dtype)
    return model


def nearest(exact, kind: str):
    """Round float64 to a format's nearest numbers."""
    step = _step(exact, kind)
    return (exact / step).round() * step


def by_chance(exact, kind: str, generator):
    """Round float64 to one of a format's two nearest numbers, the nearer one more often, so that the mean is exact."""
    import torch

    step = _step(exact, kind)
    return (exact / step + torch.rand(exact.shape, generator=generator)).floor() * step


def _step(exact, kind: str):
    """Distance between neighbours in a format, at each number."""
    import torch

    return torch.ldexp(torch.ones_like(exact), torch.frexp(exact).exponent - BITS[kind])


def _against(want, got) -> dict:
    """Logits of shape (positions, vocabulary) against those of base + adapter; the answer stands at the end."""
    import torch

    a, b = want.log_softmax(-1), got.log_softmax(-1)
    kl = a.exp() * (torch.expm1(b - a) - (b - a))  # its sum is KL, as exp(b) sums to 1; no term is below 0
    first, second = want[-ANSWER - 1 : -1].topk(2).values.T
    other = got[-ANSWER - 1 : -1].argmax(-1) != want[-ANSWER - 1 : -1].argmax(-1)
    return {
        "max_abs_diff": (got - want).abs().max().item(),
        "kl": [float(f"{x:.3g}") for x in kl.sum(-1).tolist()],
        "same_answer": not other.any().item(),
        "tie": (first - second)[other].max().item() if other.any() else 0.0,
    }


def summary(found: list[dict]) -> list[dict]:
    """A row for each format and kind of weights, over all prompts and positions."""
    groups = defaultdict(list)
    for row in found:
        groups[row["format"], row["weights"]].append(row)
    return [
        {
            "format": kind,
            "weights": what,
            "max_abs_diff": max(r["max_abs_diff"] for r in some),
            "mean_kl": statistics.fmean(x for r in some for x in r["kl"]),
            "max_kl": max(x for r in some for x in r["kl"]),
            "same_answer": sum(r["same_answer"] for r in some),
            "prompts": len(some),
            "tie": max(r["tie"] for r in some),
        }
        for (kind, what), some in groups.items()
    ]


def of(summed: list[dict], what: str, kind: str | None = None) -> dict:
    """The row of a kind of weights in a format; the format of the saved model unless one is named."""
    kind = kind or next(r["format"] for r in summed if r["weights"] == SAVED)
    return next(r for r in summed if r["weights"] == what and r["format"] == kind)


def refuse(summed: list[dict]) -> None:
    """Raise `UserError` if the saved weights are further from base + adapter than their format rounds by chance."""
    saved, chance = of(summed, SAVED), of(summed, BY_CHANCE)
    if not saved["mean_kl"] <= chance["mean_kl"]:  # also where a logit is no number
        raise UserError(
            f"the merged model is not base + adapter: its predictions differ by {saved['mean_kl']:.2g} nats a token, "
            f"and rounding to {saved['format']} by {chance['mean_kl']:.2g}; nothing was kept. Merge this adapter into "
            f"a fresh folder."
        )
