"""The installed tools, asked: does their own parser take this flag, and does their own class take these arguments?"""

import argparse
import difflib
import functools
import re
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

from .aside import Refused, elsewhere, raising, silent

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
# Files, folders, accounts and packages of somebody else's machine: left out when the class is asked, checked by rules.
THEIRS = (
    "adapters ref_adapters reward_model teacher_model resume_from_checkpoint external_plugins "
    "custom_register_path custom_dataset_info hub_token push_to_hub swanlab_token swanlab_mode report_to deepspeed "
    "fsdp tf32 logging_dir model_type template system local_rank device_map max_memory model_kwargs new_special_tokens "
    "use_hf columns quant_method quant_bits use_liger_kernel mcore_model mcore_adapter result_path reward_funcs "
    "cached_dataset cached_val_dataset"
).split()


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
        return Answer(None, unknown=True, refusal=_left_over(tool, words[:1]))
    try:
        with raising():
            _, left = parser(tool).parse_known_args(_positional(tool) + [written, *words[1:]])
    except Refused as refused:
        return Answer(action.dest if action else None, refusal=str(refused), option=_name(action))
    surplus = tuple(left)
    taken = tuple(x for x in (([written.split("=", 1)[1]] if "=" in written else []) + [*words[1:]]))
    taken = taken[: len(taken) - len(surplus)] if surplus else taken
    return Answer(action.dest, taken, surplus, option=_name(action))


def nearest(tool: str, name: str) -> str:
    """The option whose name is nearest, '' if none is near."""
    options = {o.lstrip("-").replace("-", "_") for o in parser(tool)._option_string_actions if o.startswith("--")}
    close = difflib.get_close_matches(name, sorted(options), n=1, cutoff=0.7)
    return show(tool, close[0]) if close else ""


def show(tool: str, name: str) -> str:
    """An argument's flag in the tool's own spelling."""
    return "--" + (name.replace("_", "-") if tool.startswith("lmdeploy") else name)


def construct(tool: str, given: dict[str, tuple[str, ...]]) -> str:
    """Give the arguments to the tool's own class, with a small stand-in for the model; '' or what it says against them.

    Args:
        given: values by argument name. What lies on somebody else's machine is left out first.
    """
    with silent(), elsewhere():
        try:
            return _lmdeploy(given) if tool.startswith("lmdeploy") else _swift(tool, given)
        except (Refused, ValueError, AssertionError, TypeError, ImportError, OSError, AttributeError) as error:
            return _first_sentence(error)


def _stand_in() -> Path:
    """A folder with Llama 3.1's configuration and tokenizer: all that the classes open of a model."""
    from .. import llama3

    return llama3.tokenizer_dir()


def _swift(tool: str, given: dict) -> str:
    words = []
    for dest, values in given.items():
        if dest == "ref_model":
            words += ["--ref_model", str(_stand_in())]
        elif dest not in THEIRS and dest != "model":
            words += [f"--{dest}", *values]
    has_model = "model" in given or (given.get("adapters") and "sft" not in tool and "pt" not in tool)
    if has_model:
        words += ["--model", str(_stand_in()), "--model_type", "llama", "--template", "llama3"]
    if {"use_cpu"} <= {f.name for f in fields(arguments(tool))}:
        words += ["--use_cpu", "true"]  # a recipe for a GPU is judged here without one
        words += ["--report_to", "none"]
    words += ["--output_dir", "made-by-check"] if "output_dir" in {f.name for f in fields(arguments(tool))} else []
    from swift.utils import parse_args

    with raising():
        _, left = parse_args(arguments(tool), words)
    return _left_over(tool, tuple(left)) if left else ""


def _lmdeploy(given: dict) -> str:
    from lmdeploy import messages

    words = [w for dest, values in given.items() for w in (f"--{dest.replace('_', '-')}", *values)]
    with raising():
        space = parser("lmdeploy serve api_server").parse_args(["model", *words])
    engine = messages.PytorchEngineConfig if space.backend == "pytorch" else messages.TurbomindEngineConfig
    names = {f.name for f in fields(engine)} & set(vars(space)) - {"adapters", "role", "migration_backend"}
    engine(**{n: getattr(space, n) for n in names if n in given})
    from lmdeploy.cli.utils import get_chat_template, get_lora_adapters

    get_chat_template(space.chat_template, "model")
    get_lora_adapters(space.adapters)
    return ""


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


def _left_over(tool: str, words: tuple[str, ...]) -> str:
    said = "remaining_argv: {}" if tool.startswith("swift") else "unrecognized arguments: {}"
    return said.format(list(words) if tool.startswith("swift") else " ".join(words))


def _first_sentence(error: BaseException) -> str:
    lines = [x.strip() for x in str(error).splitlines() if x.strip()]
    # pydantic puts its summary first and the reason below it
    said = next(
        (x for x in lines if "error" in x.lower() and "[type=" in x), lines[0] if lines else type(error).__name__
    )
    return re.sub(r"\s*\[type=.*", "", said)[:300]
