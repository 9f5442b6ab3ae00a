"""Recipes in YAML: flat arguments of ms-swift, or the sections of a profile of this book."""

import json
import re
from pathlib import Path

import yaml

from ..errors import UserError
from .commands import Command, Flag

SECTIONS = {"model", "data", "sft", "export", "serve"}  # a file with these is a profile in the form of this book


def from_yaml(path: Path, text: str) -> list[Command]:
    """Commands in a YAML text; `UserError` if it is none."""
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = f" line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise UserError(f"recipe {path}{where} is not valid YAML: {getattr(error, 'problem', error)}.") from None
    if not isinstance(loaded, dict):
        raise UserError(f"recipe {path} holds no keys; ms-swift reads a YAML file of `argument: value` lines.")
    return from_mapping(path, loaded, text)


def from_mapping(path: Path, loaded: dict, text: str) -> list[Command]:
    """Commands in loaded YAML: a profile of this book, or flat arguments of one ms-swift command."""
    if len(SECTIONS & set(loaded)) >= 2 and all(isinstance(loaded[k], dict) for k in SECTIONS & set(loaded)):
        return _from_profile(loaded, text)
    nested = [k for k, v in loaded.items() if isinstance(v, dict) and k != "ENV"]
    if nested and len(nested) == len(set(loaded) - {"ENV"}):
        raise UserError(
            f"recipe {path} is nested (`{nested[0]}:` holds keys); ms-swift reads flat `argument: value` lines."
        )
    env = loaded.get("ENV") if isinstance(loaded.get("ENV"), dict) else {}
    flags = _flags_from_keys({k: v for k, v in loaded.items() if k != "ENV"}, text)
    named = re.search(r"^#\s*swift\s+([a-z_-]+)", text, re.MULTILINE)
    verb = named.group(1).replace("_", "-") if named else _verb(set(loaded))
    line = min((f.line for f in flags), default=1)
    return [Command(f"swift {verb}", line, flags, (), {k: str(v) for k, v in env.items()}, kind="yaml")]


def _verb(keys: set[str]) -> str:
    """What a YAML file of arguments is for, by its keys."""
    if "rlhf_type" in keys:
        return "rlhf"
    if keys & {"served_model_name", "host", "port", "api_key"}:
        return "deploy"
    if keys & {"dataset", "train_type", "tuner_type", "sft_type", "num_train_epochs", "learning_rate"}:
        return "sft"
    if keys & {"merge_lora", "max_shard_size", "to_ollama", "quant_n_samples"}:
        return "export"
    return "infer" if keys & {"infer_backend", "max_batch_size", "val_dataset"} else "sft"


def _from_profile(loaded: dict, text: str) -> list[Command]:
    """A profile of this book, or the published recipe in the same sections."""
    model, data, serve = loaded.get("model") or {}, loaded.get("data") or {}, loaded.get("serve") or {}
    if "source" in model:  # a profile that runs: the stages fetch the model and pass folders and files
        folder = f"./{model.get('name', 'model')}"
        training = {
            "model": folder,
            "model_type": "llama",
            "dataset": data.get("train"),
            "val_dataset": data.get("val"),
        }
        # a stage of this book leaves out what is null, and writes the folders in
        training |= {k: v for k, v in (loaded.get("sft") or {}).items() if v is not None}
        exporting = {"model": folder, "adapters": "./adapter", **(loaded.get("export") or {})}
    else:
        training, exporting = {**model, **data, **(loaded.get("sft") or {})}, loaded.get("export") or {}
    kind, found = "profile", []
    for tool, keys in (("swift sft", training), ("swift export", exporting)):
        if keys:
            flags = _flags_from_keys(keys, text, "sft" if tool.endswith("sft") else "export")
            found.append(Command(tool, min(f.line for f in flags), flags, kind=kind))
    if "infer_backend" in serve or "adapters" in serve:
        flags = _flags_from_keys(serve, text, "serve")
        found.append(Command("swift deploy", min(f.line for f in flags), flags, kind=kind))
    elif serve:
        flags = _flags_from_keys({k: v for k, v in serve.items() if v is not None}, text, "serve")
        found.append(Command("lmdeploy serve api_server", min(f.line for f in flags), flags, ("./model",), kind=kind))
    return found


def _flags_from_keys(keys: dict, text: str, section: str = "") -> tuple[Flag, ...]:
    """YAML keys as the words that `swift VERB file.yaml` passes on: lists spread, mappings as JSON."""
    lines = text.split("\n")
    start = next((i for i, x in enumerate(lines) if re.match(rf"{section}\s*:", x)), 0) if section else 0
    flags = []
    for key, value in keys.items():
        pattern = re.compile(rf"\s*[\"']?{re.escape(str(key))}[\"']?\s*:")
        order = [*range(start, len(lines)), *range(start)]
        line = next((i + 1 for i in order if pattern.match(lines[i])), 1)
        if isinstance(value, list):
            words = [str(v) for v in value]
        else:
            words = [json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)]
        flags.append(Flag((f"--{key}", *words), line, value is None))
    return tuple(flags)
