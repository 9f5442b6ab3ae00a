"""The installed tools, asked: does their own parser take this flag?"""

import argparse
import difflib
import functools
from dataclasses import dataclass
from importlib.metadata import version

from .aside import Refused, raising, silent

CLASSES = {  # verbs of `swift` and the dataclass that reads their arguments
    "sft": "SftArguments",
    "pt": "PretrainArguments",
    "rlhf": "RLHFArguments",
    "infer": "InferArguments",
    "deploy": "DeployArguments",
    "export": "ExportArguments",
    "merge-lora": "ExportArguments",
    "rollout": "RolloutArguments",
    "eval": "EvalArguments",
    "app": "AppArguments",
}


@dataclass(frozen=True)
class Answer:
    """What a parser makes of one flag: the argument it sets, words that it leaves over, and its refusal."""

    dest: str | None
    values: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    refusal: str = ""
    unknown: bool = False
    option: str = ""


def installed(tool: str) -> str:
    """Name and version of the package that a tool belongs to."""
    package = "ms-swift" if tool.startswith("swift") else "lmdeploy"
    return f"{package} {version(package)}"


def known(tool: str) -> bool:
    """Whether this is a command that the installed packages have and that can be asked."""
    return tool == "lmdeploy serve api_server" or (tool.startswith("swift ") and tool.split()[1] in CLASSES)


@functools.cache
def arguments(tool: str) -> type:
    """The dataclass of a `swift` command."""
    with silent():
        import swift.arguments

        return getattr(swift.arguments, CLASSES[tool.split()[1]])


@functools.cache
def parser(tool: str) -> argparse.ArgumentParser:
    """The tool's own parser."""
    with silent():
        if tool.startswith("swift"):
            from swift.utils import utils

            with utils._patch_get_type_hints():
                return utils.HfArgumentParser([arguments(tool)])
        from lmdeploy.cli.serve import SubCliServe

        if "api_server" not in SubCliServe.subparsers.choices:  # the parser is shared: adding it twice raises
            SubCliServe.add_parsers()
        return SubCliServe.subparsers.choices["api_server"]


def option(tool: str, name: str) -> argparse.Action | None:
    """The option that the parser takes a flag for: by its whole name, or by an unambiguous beginning of it."""
    return _match(tool, f"--{name}")[0]


def ask(tool: str, words: tuple[str, ...]) -> Answer:
    """Let the tool's parser read one flag and the words behind it."""
    written = words[0]
    if tool.startswith("lmdeploy") and written.startswith("--"):  # as FlexibleArgumentParser does
        key, given, value = written.partition("=")
        written = key.replace("_", "-") + given + value
    action, ambiguous = _match(tool, written.split("=", 1)[0])
    if action is None and not ambiguous:
        return Answer(None, unknown=True, refusal=left_over(tool, words[:1]))
    try:
        with raising():
            _, left = parser(tool).parse_known_args(_positional(tool) + [written, *words[1:]])
    except Refused as refused:
        return Answer(action.dest if action else None, refusal=str(refused), option=_name(action))
    surplus = tuple(left)
    taken = tuple(x for x in (([written.split("=", 1)[1]] if "=" in written else []) + [*words[1:]]))
    taken = taken[: len(taken) - len(surplus)] if surplus else taken
    return Answer(action.dest, taken, surplus, option=_name(action))


def takes_many(tool: str, dest: str) -> bool:
    """Whether an argument is a list."""
    return any(a.dest == dest and a.nargs in ("+", "*") for a in parser(tool)._actions)


def nearest(tool: str, name: str) -> str:
    """The option whose name is nearest, '' if none is near."""
    options = {o.lstrip("-").replace("-", "_") for o in parser(tool)._option_string_actions if o.startswith("--")}
    close = difflib.get_close_matches(name, sorted(options), n=1, cutoff=0.75)
    return show(tool, close[0]) if close else ""


def show(tool: str, name: str) -> str:
    """An argument's flag in the tool's own spelling."""
    return "--" + (name.replace("_", "-") if tool.startswith("lmdeploy") else name)


def _match(tool: str, written: str) -> tuple[argparse.Action | None, bool]:
    """The option of a flag, and whether its beginning fits several."""
    options = parser(tool)._option_string_actions
    if tool.startswith("lmdeploy"):
        written = written.replace("_", "-")
    if written in options:
        return options[written], False
    if not written.startswith("--") or len(written) < 3:
        return None, False
    fitting = [o for o in options if o.startswith(written)]
    return (options[fitting[0]], False) if len(fitting) == 1 else (None, len(fitting) > 1)


def _name(action: argparse.Action | None) -> str:
    return action.option_strings[0] if action else ""


def _positional(tool: str) -> list[str]:
    return ["model"] if tool.startswith("lmdeploy") else []


def left_over(tool: str, words: tuple[str, ...]) -> str:
    """What a tool says to words that it does not know."""
    said = "remaining_argv: {}" if tool.startswith("swift") else "unrecognized arguments: {}"
    return said.format(list(words) if tool.startswith("swift") else " ".join(words))
