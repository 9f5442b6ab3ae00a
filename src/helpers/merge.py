"""A merge, proven: each weight of the merged model is base + adapter, within the rounding of its format."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError

# Unit roundoff: the largest relative error of rounding one number to the format (half a unit in the last place).
ROUNDOFF = {"F32": 2.0**-24, "BF16": 2.0**-8, "F16": 2.0**-11}
SURE = 6  # standard errors; rounding errors of millions of weights average out, so the estimate below is sharp


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

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    tied = json.loads((merged / "config.json").read_text(encoding="utf-8")).get("tie_word_embeddings")
    pairs = _pairs(adapter)
    before, kinds = dict(_tensors(base)), set()
    found = {"modules": 0, "worst": 0.0, "worst_module": "", "times": [math.inf, -math.inf], "times_error": 0.0}
    same = total = 0
    outside, seen = [], set()
    for name, (load, kind) in _tensors(merged):
        kinds.add(kind)
        after, module = load(), name.removesuffix(".weight")
        if name not in before and tied and name == "lm_head.weight":
            continue  # the embedding under a second name
        if name not in before:
            outside.append(name)
            continue
        seen.add(name)
        old = before[name][0]()
        if module not in pairs:
            if not torch.equal(old.to(after.dtype), after):
                outside.append(name)
            continue
        a, b = (t.double() for t in pairs.pop(module))
        rank = a.shape[0]
        scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
        delta, reach = scale * (b @ a), scale * (b.abs() @ a.abs())
        exact = old.double() + delta
        u = ROUNDOFF[kind]
        room = u * exact.abs() + (rank + 2) * u * (reach + delta.abs())
        error = (after.double() - exact).abs()
        ratio = float((error / room.clamp(min=1e-300)).max())
        same += int((after == exact.to(after.dtype)).sum())
        total += after.numel()
        square = float((delta**2).sum())
        times = float(((after.double() - old.double()) * delta).sum() / square) if square else math.nan
        spread = math.sqrt(float(((room * delta) ** 2).sum()) / 3) / square if square else 0.0
        found["modules"] += 1
        if ratio > found["worst"]:
            found["worst"], found["worst_module"] = ratio, module
        if not math.isnan(times):
            found["times"] = [min(found["times"][0], times), max(found["times"][1], times)]
            found["times_error"] = max(found["times_error"], SURE * spread)
    missing = [n for n in before if n not in seen and not (tied and n == "lm_head.weight")]
    return {
        "format": "/".join(sorted(kinds)),
        **found,
        "exact": same / total if total else 0.0,
        "changed_outside": sorted(outside),
        "missing": missing,
        "not_merged": sorted(pairs),
    }


def provable(adapter: Path) -> bool:
    """Whether an adapter is plain LoRA: with DoRA, other alphas or whole modules the weights are not base + s B A."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    return not any(config.get(k) for k in ("use_dora", "modules_to_save", "alpha_pattern", "lora_bias"))


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
    elif found["worst"] > 1:
        said = f"{found['worst_module']} is off by {found['worst']:.1f} times what {found['format']} rounds"
    else:
        return
    raise UserError(
        f"the merged model is not base + adapter: {said}; nothing was kept. Merge this adapter into a fresh folder."
    )


def shards(folder: Path, limit: str) -> list[str]:
    """Shards that are larger than `max_shard_size`, or that the index names and the folder lacks."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
    unit = next(u for u in sorted(units, key=len, reverse=True) if limit.upper().endswith(u))
    most = float(limit[: -len(unit)]) * units[unit]
    wrong = []
    for file in sorted(folder.glob("*.safetensors")):
        # the limit is on the tensors; a tensor larger than it has a shard of its own
        sizes = _sizes(file)
        if sum(sizes) > most and len(sizes) > 1:
            wrong.append(f"{file.name} holds {sum(sizes)} bytes")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        wrong += [f"{n} is missing" for n in sorted(named) if not (folder / n).is_file()]
    return wrong


def as_lmdeploy_reads(folder: Path) -> dict:
    """RoPE and end tokens of a model folder as LMDeploy's TurboMind reads them: `type`, `base`, `factor`, `eos`."""
    from unittest import mock

    from lmdeploy import turbomind
    from lmdeploy.archs import get_model_arch
    from lmdeploy.tokenizer import Tokenizer

    # the module names TurboMind's library, which the CPU installation does not have, and needs nothing of it for this
    with mock.patch.object(turbomind, "_tm", turbomind._tm or mock.MagicMock()):
        from lmdeploy.turbomind.models import utils
    config = get_model_arch(str(folder))[1]
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope, _ = utils.parse_rope_param(config, head)
    eos = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    stop = Tokenizer(str(folder)).eos_token_id
    return {"type": rope.type, "base": rope.base, "factor": rope.factor, "eos": eos, "stop_word": stop}


def _pairs(adapter: Path) -> dict[str, tuple]:
    """LoRA matrices (A, B) by the name of the base module."""
    from safetensors.torch import load_file

    pairs: dict[str, dict] = {}
    for name, tensor in load_file(adapter / "adapter_model.safetensors").items():
        module, _, which = name.removeprefix("base_model.model.").rpartition(".lora_")
        if which[:1] in ("A", "B"):
            pairs.setdefault(module, {})[which[0]] = tensor
    return {m: (p["A"], p["B"]) for m, p in pairs.items()}


def _tensors(folder: Path) -> Iterator[tuple[str, tuple]]:
    """Name, loader and format of every tensor, one file open at a time."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as f:
            names = list(f.keys())
            kinds = {n: f.get_slice(n).get_dtype() for n in names}
        for name in names:
            yield name, (_loader(file, name), kinds[name])


def _loader(file: Path, name: str):
    def load():
        from safetensors import safe_open

        with safe_open(file, "pt") as f:
            return f.get_tensor(name)

    return load


def _sizes(file: Path) -> list[int]:
    with file.open("rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    return [v["data_offsets"][1] - v["data_offsets"][0] for k, v in header.items() if k != "__metadata__"]
