"""What a published recipe says: its commands and their flags, from shell text, Markdown or YAML."""

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from ..errors import UserError
from . import shell

SECTIONS = {"model", "data", "sft", "export", "serve"}  # a file with these is a profile in the form of this book


@dataclass(frozen=True)
class Flag:
    """One flag as written: `words` are what the shell would pass on, `line` is 1-based."""

    words: tuple[str, ...]
    line: int

    @property
    def name(self) -> str:
        """The flag without dashes and value, `-` as `_`."""
        return self.words[0].split("=", 1)[0].lstrip("-–—").replace("-", "_")

    @property
    def values(self) -> tuple[str, ...]:
        _, given, value = self.words[0].partition("=")
        return ((value,) if given else ()) + self.words[1:]


@dataclass(frozen=True)
class Command:
    """One call of a tool, `swift sft` or `lmdeploy serve api_server` for instance."""

    tool: str
    line: int
    flags: tuple[Flag, ...]
    positional: tuple[str, ...] = ()
    env: dict = field(default_factory=dict)
    cut_off: tuple[Flag, ...] = ()  # lines that look like flags of this command, and that the shell never passes to it
    kind: str = "shell"  # shell | flags | yaml | profile


def read(path: Path) -> list[Command]:
    """The commands of a recipe, in the order of the file.

    Raises:
        UserError: no such file, not UTF-8, broken YAML, an open quote, or nothing that ms-swift or LMDeploy reads.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"recipe {path} does not exist; give a YAML file, a shell script or a Markdown page.")
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {path} is not UTF-8 text (byte {error.start}).") from None
    if not text.strip():
        raise UserError(f"recipe {path} is empty.")
    if path.suffix in (".yaml", ".yml", ".json"):
        found = _from_yaml(path, text)
    else:
        found = _from_text(path, text)
    if not found:
        raise UserError(
            f"recipe {path} holds no `swift …` or `lmdeploy serve …` command, no line that begins with `--` "
            f"and no YAML of their arguments."
        )
    return found


def flags_of(words: list[tuple[str, int]]) -> tuple[tuple[str, ...], tuple[Flag, ...]]:
    """Words in front of the first flag, and the flags with the words behind them."""
    positional, flags = [], []
    for word, line in words:
        if shell.is_flag(word):
            flags.append(Flag((word,), line))
        elif flags:
            flags[-1] = replace(flags[-1], words=(*flags[-1].words, word))
        else:
            positional.append(word)
    return tuple(positional), tuple(flags)


def _from_text(path: Path, text: str) -> list[Command]:
    found, bare = [], []
    for first_line, block in _blocks(text):
        own = []
        for call in shell.commands(block, first_line, path):
            if call.tool:
                positional, flags = flags_of(call.words)
                command = Command(call.tool, call.line, flags, positional, call.env)
                own.append(_with_file(command, path.parent))
            elif call.words and shell.is_flag(call.words[0][0]):
                _, flags = flags_of(call.words)
                if own:
                    own[-1] = replace(own[-1], cut_off=own[-1].cut_off + flags)
                else:
                    bare += flags
        found += own
    if bare:  # a page that lists flags without a command means training
        found.insert(0, Command("swift sft", bare[0].line, tuple(bare), kind="flags"))
    if not found:
        try:
            loaded = yaml.safe_load(text)
        except yaml.YAMLError:
            return []
        return _from_mapping(loaded, text) if isinstance(loaded, dict) else []
    return found


def _blocks(text: str) -> list[tuple[int, str]]:
    """Fenced blocks of a Markdown page, else the whole text; with the number of the first line."""
    lines, blocks, start = text.split("\n"), [], None
    for number, line in enumerate(lines, 1):
        if re.match(r"\s*(```|~~~)", line):
            if start is None:
                start = number + 1
            else:
                blocks.append((start, "\n".join(lines[start - 1 : number - 1])))
                start = None
    if start is not None:  # a fence that is never closed runs to the end, as Markdown reads it
        blocks.append((start, "\n".join(lines[start - 1 :])))
    return blocks or [(1, text)]


def _with_file(command: Command, folder: Path) -> Command:
    """`swift sft file.yaml …`: the file's keys stand where its name stood, as ms-swift reads it."""
    if not command.tool.startswith("swift") or not command.positional:
        return command
    name = command.positional[0]
    if not name.endswith((".yaml", ".yml", ".json")) or not (folder / name).is_file():
        return command
    inner = _from_yaml(folder / name, (folder / name).read_text(encoding="utf-8-sig"))[0]
    return replace(
        command, flags=inner.flags + command.flags, positional=command.positional[1:], env=inner.env | command.env
    )


def _from_yaml(path: Path, text: str) -> list[Command]:
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = f" line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise UserError(f"recipe {path}{where} is not valid YAML: {getattr(error, 'problem', error)}.") from None
    if not isinstance(loaded, dict):
        raise UserError(f"recipe {path} holds no keys; ms-swift reads a YAML file of `argument: value` lines.")
    return _from_mapping(loaded, text)


def _from_mapping(loaded: dict, text: str) -> list[Command]:
    if len(SECTIONS & set(loaded)) >= 2 and all(isinstance(loaded[k], dict) for k in SECTIONS & set(loaded)):
        return _from_profile(loaded, text)
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
        flags.append(Flag((f"--{key}", *words), line))
    return tuple(flags)
