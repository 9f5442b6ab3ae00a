"""Verbs of the two tools: what the installed packages have, and what became of older ones."""

import functools
from dataclasses import replace

from . import tools
from .aside import silent
from .commands import Command, Flag
from .flags import OK, RENAMED, UNKNOWN, Verdict

RENAMED_VERBS = {  # ms-swift 3 gathered the preference methods in one verb
    **{f"swift {m}": ("swift rlhf", ("--rlhf_type", m)) for m in ("dpo", "orpo", "simpo", "kto", "cpo")},
    "swift app-ui": ("swift app", ()),
    "swift llm-sft": ("swift sft", ()),
    "swift llm-infer": ("swift infer", ()),
    **{f"swift llm-{m}": ("swift rlhf", ("--rlhf_type", m)) for m in ("dpo", "orpo", "simpo", "kto", "cpo")},
}
INSTEAD = {
    "lmdeploy serve gradio": "lmdeploy serve api_server ./model",
    "lmdeploy serve api_client": "an OpenAI client",
}


@functools.cache
def installed() -> frozenset[str]:
    """Commands that the installed packages have."""
    with silent():
        from lmdeploy.cli.cli import CLI
        from lmdeploy.cli.lite import SubCliLite
        from swift.cli.main import ROUTE_MAPPING

        if not CLI.subparsers.choices.get("chat"):
            CLI.add_parsers()
        if not SubCliLite.subparsers.choices:
            SubCliLite.add_parsers()
    swift = {f"swift {verb}" for verb in ROUTE_MAPPING}
    return frozenset(swift | {f"lmdeploy {v}" for v in CLI.subparsers.choices} | {"lmdeploy serve proxy"})


def today(command: Command) -> tuple[Command, tuple[Verdict, ...]]:
    """The command under its verb of today, and what is to be said about the verb."""
    made = Verdict(command.tool, command.line, command.tool, "", RENAMED, "", _source(command.tool), "")
    if command.tool not in RENAMED_VERBS:
        return command, ()
    tool, words = RENAMED_VERBS[command.tool]
    flags = ((Flag(words, command.line),) if words else ()) + command.flags
    says = f"`{command.tool}` is gone, `{tool}` took its place (ms-swift 3)"
    return replace(command, tool=tool, flags=flags), (replace(made, reason=says, working=" ".join((tool, *words))),)


def unchecked(command: Command) -> Verdict:
    """What is to be said about a command that is not checked flag by flag."""
    tool = command.tool
    here = tool in installed()
    status, says = (OK, f"`{tool}` is there; its flags are not checked") if here else (UNKNOWN, f"`{tool}` is gone")
    if tool.split()[0] not in ("swift", "lmdeploy"):
        status, says = UNKNOWN, f"`{tool}` is not a command that is checked here"
    working = tool if here else INSTEAD.get(tool, "")
    return Verdict(tool, command.line, tool, "", status, says, _source(tool), working)


def _source(tool: str) -> str:
    return tools.installed(tool) if tool.split()[0] in ("swift", "lmdeploy") else tool.split()[0]
