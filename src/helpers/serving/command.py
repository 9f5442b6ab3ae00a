"""The command line of LMDeploy's server, and what LMDeploy itself says about it before a GPU is rented."""

import sys
from pathlib import Path

from .. import process
from .. import profile as profiles
from ..errors import UserError
from ..recipe import Checked, Verdict, checking
from ..recipe.commands import Command
from ..recipe.reading import flags_of

TOOL = "lmdeploy serve api_server"
BACKENDS = ("turbomind", "pytorch")


def has_gpu() -> bool:
    """Whether LMDeploy's own engine can run here."""
    import torch

    return torch.cuda.is_available()


def gpu_command(model: Path | str, options: dict) -> list:
    """`lmdeploy serve api_server …` from the `serve` section of a profile."""
    words = [*TOOL.split(), model]
    for key, value in options.items():
        if value is not None and value is not False:
            words += [f"--{key.replace('_', '-')}"] + ([] if value is True else [value])
    return words


def serve_command(model: Path, options: dict) -> list:
    """The command that runs on this machine: without CUDA, the same one behind the stand-in engine."""
    if has_gpu():
        return gpu_command(model, options)
    words = gpu_command(model, options | {"backend": "pytorch"})
    return [sys.executable, "-m", "helpers.lmdeploy_cpu", *words[1:]]


def validate(options: dict, model: str = "./model") -> Checked:
    """Let LMDeploy's own parser and engine configuration read the command; no GPU is needed for that."""
    words = [(str(word), 1) for word in gpu_command(model, options)[3:]]
    positional, flags = flags_of(words)
    return checking.check(Command(TOOL, 1, flags, positional))


def objections(options: dict) -> list[Verdict]:
    """The flags that LMDeploy would refuse, or take and do harm with."""
    return [v for v in validate(options).verdicts if v.status != "ok"]


def demand(options: dict) -> None:
    """Refuse a command that LMDeploy would refuse, before anything is started.

    Raises:
        UserError: names the first flag, LMDeploy's own words, and what works.
    """
    for found in objections(options):
        where = " ".join(x for x in (found.flag, found.value) if x)
        instead = f" Use {found.working}." if found.working else ""
        raise UserError(f"the serve section is refused: {where}: {found.reason} [{found.source}].{instead}")


def gpu_commands() -> list[dict]:
    """The command of every profile for a GPU with both engines, and what LMDeploy objects to: a row each."""
    rows = []
    for chosen in profiles.for_gpu():
        for backend in BACKENDS:
            options = chosen.serve | {"backend": backend}
            bad = [f"{v.flag} {v.value}: {v.reason}" for v in objections(options)]
            line = process.shown(gpu_command("./model", options))
            rows.append(
                {"profile": chosen.name, "engine": backend, "command": line, "objections": "; ".join(bad) or "none"}
            )
    return rows
