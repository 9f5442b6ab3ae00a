"""What a published recipe says: its commands and their flags, from shell text, Markdown or YAML."""

import re
from dataclasses import replace
from pathlib import Path

import yaml

from ..errors import UserError
from . import heredocs, shell
from .commands import Command, Flag
from .mapping import from_mapping, from_yaml

LARGEST = 2**20  # bytes


def read(path: Path) -> list[Command]:
    """The commands of a recipe, in the order of the file.

    Raises:
        UserError: no such file, not UTF-8, broken YAML, an open quote, or nothing that ms-swift or LMDeploy reads.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"recipe {path} does not exist; give a YAML file, a shell script or a Markdown page.")
    if path.stat().st_size > LARGEST:
        size = path.stat().st_size / 2**20
        raise UserError(f"recipe {path} has {size:.0f} MiB; give the file with the commands alone, a few lines.")
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {path} is not UTF-8 text (byte {error.start}).") from None
    if not text.strip():
        raise UserError(f"recipe {path} is empty.")
    if path.suffix in (".yaml", ".yml", ".json"):
        found = from_yaml(path, text)
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
        if shell.is_flag(word) or shell.is_rest(word, bool(flags and flags[-1].values)):
            flags.append(Flag((word,), line))
        elif flags:
            flags[-1] = replace(flags[-1], words=(*flags[-1].words, word))
        else:
            positional.append(word)
    return tuple(positional), tuple(flags)


def _from_text(path: Path, text: str) -> list[Command]:
    found, bare, files = [], [], {}
    for first_line, block in _blocks(text):
        own = []
        block, written = heredocs.taken_out(block, first_line)
        files |= written
        for call in shell.commands(block, first_line, path):
            if call.tool:
                positional, flags = flags_of(call.words)
                command = Command(call.tool, call.line, flags, positional, call.env)
                own.append(_with_file(command, path.parent, files, call.variables))
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
        return from_mapping(path, loaded, text) if isinstance(loaded, dict) else []
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


def _with_file(command: Command, folder: Path, files: dict[str, heredocs.File], variables: dict) -> Command:
    """`swift sft file.yaml …`: the file's keys stand where its name stood, as ms-swift reads it.

    The file lies beside the recipe, or the recipe writes it; `--config FILE`, which ms-swift refuses, means it too.
    """
    named = next((f.values[0] for f in command.flags if f.name == "config" and f.values), "")
    name = command.positional[0] if command.positional else named
    if not command.tool.startswith("swift") or not name.endswith((".yaml", ".yml", ".json")):
        return command
    written, line = files.get(heredocs.plain(name)), 0
    if written:
        text, line = shell.replaced(written.text, variables) if written.expanded else written.text, written.line - 1
    elif (folder / name).is_file():
        text = (folder / name).read_text(encoding="utf-8-sig")
    else:
        return command if command.positional else replace(command, positional=(name,))
    inner = from_yaml(folder / name, text)[0]
    flags = tuple(replace(f, line=f.line + line) for f in inner.flags)
    return replace(
        command,
        flags=flags + command.flags,
        positional=command.positional[1:],
        env=inner.env | command.env,
        from_file=len(flags),
    )
