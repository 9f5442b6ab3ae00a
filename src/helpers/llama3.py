"""Llama 3.1 without its licensed weights: Meta's tokenizer from PyPI, the published shape, random values in it."""

import importlib.resources
import json
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from . import models
from .errors import UserError

# Llama-3.1-8B's published shape. Memory and speed depend on the shape, not on the values of the weights.
SHAPE_8B = dict(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=131072,
    rms_norm_eps=1e-5,
    rope_theta=500000.0,
    rope_scaling=dict(
        rope_type="llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    ),
    tie_word_embeddings=False,
    bos_token_id=128000,
    eos_token_id=[128001, 128008, 128009],
)
SHARD_BYTES = 4 * 2**30
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def is_shape_of(model: dict) -> bool:
    """Whether a profile's `model` section names a Llama-3.1-8B."""
    return "llama-3.1-8b" in model["name"].lower()


def tokenizer():
    """Meta's own tokenizer (PyPI `llama-models`); `encode(text, bos=False, eos=False)` gives ids."""
    from llama_models.llama3.tokenizer import Tokenizer

    return Tokenizer.get_instance()


def tokenizer_dir() -> Path:
    """A folder with the same tokenizer in transformers' form, and a config: all that a template needs."""
    return _make("llama-3.1-tokenizer", _write_tokenizer)


def random_8b() -> Path:
    """A model folder of Llama-3.1-8B's shape with random bfloat16 weights (16 GB) and Meta's tokenizer.

    Raises:
        UserError: not enough disk.
    """
    folder = models.cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    need, free = 2.2 * _parameters(), shutil.disk_usage(folder).free
    if free < need:
        raise UserError(
            f"random weights of Llama-3.1-8B's shape need {need / 2**30:.0f} GiB in {folder}, which has "
            f"{free / 2**30:.0f} GiB free; free some space or set LISTENER_CACHE to another disk."
        )
    return _make("llama-3.1-8b-random", _write_model)


def _make(name: str, write) -> Path:
    target = models.cache_dir() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as work:
                out = Path(work) / "model"
                out.mkdir()
                write(out)
                out.rename(target)
    return target


def _config():
    from transformers import LlamaConfig

    return LlamaConfig(**SHAPE_8B, architectures=["LlamaForCausalLM"], dtype="bfloat16")


def _write_tokenizer(out: Path) -> None:
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    meta = tokenizer()
    special = sorted(meta.special_tokens, key=meta.special_tokens.get)
    file = importlib.resources.files("llama_models") / "llama3" / "tokenizer.model"
    converted = TikTokenConverter(str(file), pattern=meta.pat_str, extra_special_tokens=special).converted()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=converted,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|finetune_right_pad_id|>",
        chat_template=CHAT,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(out)
    _config().save_pretrained(out)


def _write_model(out: Path) -> None:
    """Shard by shard, so that 4 GiB of memory are enough for 16 GB of weights."""
    import torch
    from safetensors.torch import save_file

    _write_tokenizer(out)
    torch.manual_seed(0)
    names = _shapes()
    shards, size = [[]], 0
    for name, shape in names.items():
        size += 2 * shape.numel()
        if size > SHARD_BYTES and shards[-1]:
            shards.append([])
            size = 2 * shape.numel()
        shards[-1].append(name)
    where = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {
            n: torch.ones(names[n], dtype=torch.bfloat16)
            if "norm" in n
            else torch.empty(names[n], dtype=torch.bfloat16).normal_(0, 0.02)
            for n in shard
        }
        save_file(tensors, out / file, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": 2 * _parameters()}, "weight_map": where}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def _shapes() -> dict:
    """Name and shape of every weight, without allocating one."""
    import torch
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        return {n: p.shape for n, p in LlamaForCausalLM(_config()).named_parameters()}


def _parameters() -> int:
    return sum(shape.numel() for shape in _shapes().values())
