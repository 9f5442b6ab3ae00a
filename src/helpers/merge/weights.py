"""The proof in the weights: each is base + adapter, within the rounding of the format it is saved in."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from . import folder

# Unit roundoff: the largest relative error of rounding one number to the format (half a unit in the last place).
ROUNDOFF = {"F32": 2.0**-24, "BF16": 2.0**-8, "F16": 2.0**-11}
SURE = 6  # standard errors; rounding errors of millions of weights average out, so the estimate below is sharp
BEYOND_LORA = ("use_dora", "modules_to_save", "alpha_pattern", "lora_bias")  # the sum is then not W + s B A


@dataclass(frozen=True)
class Lora:
    """The adapter of one matrix: `a` of shape (r, in), `b` of shape (out, r), and the scale of their product."""

    a: object
    b: object
    scale: float

    def added_to(self, weight):
        """`W + s B A` in float64, of shape (out, in)."""
        return weight.double() + self.scale * (self.b.double() @ self.a.double())


def loras(adapter: Path) -> dict[str, Lora]:
    """The adapter's matrices by the name of the base model's module.

    Raises:
        UserError: the adapter is more than plain LoRA, and its merge cannot be proven here.
    """
    from safetensors.torch import load_file

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    more = [k for k in BEYOND_LORA if config.get(k)]
    if more:
        raise UserError(
            f"the adapter in {adapter} is more than plain LoRA ({more[0]}), and this book cannot prove its merge; "
            f"train it without {more[0]}."
        )
    pairs: dict[str, dict] = {}
    for name, tensor in load_file(adapter / "adapter_model.safetensors").items():
        module, _, which = name.removeprefix("base_model.model.").rpartition(".lora_")
        pairs.setdefault(module, {})[which[0]] = tensor
    root = math.sqrt if config.get("use_rslora") else float
    return {m: Lora(p["A"], p["B"], config["lora_alpha"] / root(p["A"].shape[0])) for m, p in pairs.items()}


def compare(base: Path, adapter: Path, merged: Path) -> dict:
    """Every tensor of the merged model against base + adapter, in float64.

    The tolerance of an element follows from the format alone: one rounding of the sum, and the rounding of a product
    of rank r, `u |w| + (r + 2) u s (|B| |A|)` with unit roundoff u. `times` estimates how often the adapter is in the
    merged weights, by projecting merged - base on B A: 1 in a right merge, 0 without it, 2 if it was scaled twice.

    Returns:
        `format`, `modules` (adapted matrices), `worst` (the largest error in units of its tolerance, at most 1 in a
        right merge), `worst_module`, `exact` (share of elements that are the rounded exact value), `times` (least and
        largest), `times_error` (6 standard errors of it), `changed_outside`, `missing`, `not_merged` (names).
    """
    import torch

    before, after, pairs = dict(tensors(base)), dict(tensors(merged)), loras(adapter)
    config = json.loads((merged / "config.json").read_text(encoding="utf-8"))
    tied = {"lm_head.weight"} if config.get("tie_word_embeddings") else set()  # the embedding under a second name
    found, outside = [], sorted(set(after) - set(before) - tied)
    for name in sorted(set(after) & set(before)):
        (load_old, _), (load_new, kind) = before[name], after[name]
        old, new, module = load_old(), load_new(), name.removesuffix(".weight")
        if module in pairs:
            found.append(_one(module, old, new, pairs.pop(module), ROUNDOFF[kind]))
        elif not torch.equal(old.to(new.dtype), new):
            outside.append(name)
    worst = max(found, key=lambda f: f["worst"], default={"worst": 0.0, "module": ""})
    times = [f["times"] for f in found if not math.isnan(f["times"])]
    return {
        "format": "/".join(sorted({kind for _, kind in after.values()})),
        "modules": len(found),
        "worst": worst["worst"],
        "worst_module": worst["module"],
        "exact": sum(f["exact"] for f in found) / max(sum(f["elements"] for f in found), 1),
        "times": [min(times, default=math.nan), max(times, default=math.nan)],
        "times_error": max((f["times_error"] for f in found), default=0.0),
        "changed_outside": outside,
        "missing": sorted(set(before) - set(after) - tied),
        "not_merged": sorted(pairs),
    }


def _one(module: str, old, new, lora: Lora, u: float) -> dict:
    """One adapted matrix against its exact sum; `u` is the unit roundoff of the saved format."""
    rank, exact = lora.a.shape[0], lora.added_to(old)
    delta = exact - old.double()
    reach = lora.scale * (lora.b.double().abs() @ lora.a.double().abs())
    room = u * exact.abs() + (rank + 2) * u * (reach + delta.abs())
    square = float((delta**2).sum())
    return {
        "module": module,
        "worst": float(((new.double() - exact).abs() / room.clamp(min=1e-300)).max()),
        "exact": int((new == exact.to(new.dtype)).sum()),
        "elements": new.numel(),
        "times": float(((new.double() - old.double()) * delta).sum() / square) if square else math.nan,
        "times_error": SURE * math.sqrt(float(((room * delta) ** 2).sum()) / 3) / square if square else 0.0,
    }


def refuse(found: dict) -> None:
    """Raise `UserError` with what is wrong if `compare` found anything but a right merge."""
    low, high = found["times"]
    off = max(abs(low - 1), abs(high - 1))
    if found["not_merged"] or not found["modules"]:
        said = f"{len(found['not_merged'])} adapted modules are not in the merged model"
    elif found["changed_outside"] or found["missing"]:
        names = (*found["changed_outside"], *found["missing"])
        said = f"{len(names)} tensors that the adapter does not touch differ from the base model ({names[0]})"
    elif off > found["times_error"]:
        said = f"the adapter is in the merged weights {low:.3g} to {high:.3g} times instead of once"
    elif not found["worst"] <= 1:  # also where a weight is no number
        said = f"{found['worst_module']} is off by {found['worst']:.1f} times what {found['format']} rounds"
    else:
        return
    raise UserError(
        f"the merged model is not base + adapter: {said}; nothing was kept. Merge this adapter into a fresh folder."
    )


def tensors(model: Path) -> Iterator[tuple[str, tuple]]:
    """Name, loader and format of every tensor of a model folder; a loader reads its tensor alone."""
    for file in folder.safetensors(model):
        for name, entry in folder.header(file).items():
            yield name, (lambda file=file, name=name: _load(file, name), entry["dtype"])


def kind(model: Path) -> str:
    """The format of most of a model's tensors: F32, BF16 or F16."""
    kinds = Counter(k for _, (_, k) in tensors(model))
    return kinds.most_common(1)[0][0]


def _load(file: Path, name: str):
    from safetensors import safe_open

    with safe_open(file, "pt") as f:
        return f.get_tensor(name)
