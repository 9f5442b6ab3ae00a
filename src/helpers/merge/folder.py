"""The proof in the files: whole, of the right shape, in shards of the right size, and read rightly by a server."""

import hashlib
import json
from pathlib import Path

from ..errors import UserError

BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def safetensors(folder: Path) -> list[Path]:
    """The weight files of a model or adapter folder, in order."""
    return sorted(folder.glob("*.safetensors"))


def header(file: Path) -> dict[str, dict]:
    """`dtype`, `shape` and `data_offsets` of every tensor in a safetensors file, without reading the tensors.

    Raises:
        UserError: the file ends before its last tensor does.
    """
    size = file.stat().st_size
    with file.open("rb") as f:
        length = int.from_bytes(f.read(8), "little")
        text = f.read(length) if length < size else b""
    try:
        entries = {k: v for k, v in json.loads(text).items() if k != "__metadata__"}
        need = 8 + length + max(v["data_offsets"][1] for v in entries.values())
    except ValueError:
        entries, need = {}, 8 + length
    if not entries or size < need:
        raise UserError(f"{file} is cut off ({size} bytes of at least {need}); fetch or make that file again.")
    return entries


def check_model(folder: Path) -> None:
    """Raise `UserError` unless a folder holds a tokenizer and every tensor that its index names, whole."""
    if not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer.model").is_file():
        raise UserError(f"{folder} holds no tokenizer (tokenizer.json); fetch the whole model again.")
    index, there = folder / "model.safetensors.index.json", {f.name: header(f) for f in safetensors(folder)}
    if not there:
        raise UserError(f"{folder} holds no weights (*.safetensors); fetch the whole model again.")
    if index.is_file():
        for name, file in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items():
            if name not in there.get(file, ()):
                raise UserError(f"{folder / file} is missing or lacks {name}; fetch or make that file again.")


def check_adapter(adapter: Path, base: Path) -> None:
    """Raise `UserError` unless a folder holds an adapter, whole, that was trained on this base model."""
    needed = (adapter / "adapter_config.json", adapter / "adapter_model.safetensors")
    gone = [f.name for f in needed if not f.is_file()]
    if gone:
        raise UserError(f"{adapter} is no adapter (no {gone[0]} in it); run the stage sft, or copy the whole folder.")
    config = json.loads(needed[0].read_text(encoding="utf-8"))
    shapes = {n: e["shape"] for f in safetensors(base) for n, e in header(f).items()}
    for name, entry in header(needed[1]).items():
        module, _, which = name.removeprefix("base_model.model.").rpartition(".lora_")
        shape = shapes.get(f"{module}.weight")
        side = {"A": 1, "B": 0}.get(which[:1])
        if side is not None and (shape is None or entry["shape"][side] != shape[side]):
            _other_base(
                adapter, base, config, f"{module} is {shape or 'not in the base model'}, the adapter's {entry['shape']}"
            )
    named = Path(config.get("base_model_name_or_path") or base)
    if named.name != base.name:
        _other_base(adapter, base, config, "the shapes agree, the names do not")


def _other_base(adapter: Path, base: Path, config: dict, why: str) -> None:
    raise UserError(
        f"the adapter in {adapter} belongs to another base model: it was trained on "
        f"{config.get('base_model_name_or_path')}, the profile names {base} ({why}); train again, or name that model."
    )


def files(folder: Path) -> list[dict]:
    """Name, bytes and sha256 of each file of a model folder, by name."""
    found = []
    for file in sorted(f for f in folder.iterdir() if f.is_file()):
        with file.open("rb") as f:  # a shard may be larger than memory
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        found.append({"file": file.name, "bytes": file.stat().st_size, "sha256": digest})
    return found


def shards(folder: Path, limit: str) -> list[dict]:
    """Bytes of tensors in each shard, and whether they keep to `max_shard_size`; one tensor alone may be larger."""
    unit = next(u for u in sorted(BYTES, key=len, reverse=True) if limit.upper().endswith(u))
    most, found = float(limit[: -len(unit)]) * BYTES[unit], []
    for file in safetensors(folder):
        sizes = [e["data_offsets"][1] - e["data_offsets"][0] for e in header(file).values()]
        kept = sum(sizes) <= most or len(sizes) == 1
        found.append({"file": file.name, "tensors": len(sizes), "bytes": sum(sizes), "within_limit": kept})
    return found


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
