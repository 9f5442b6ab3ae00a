"""A published recipe, checked against the installed ms-swift and LMDeploy: `check`, `table`, `port`."""

from pathlib import Path

from . import checking, reading
from .checking import Checked, as_dicts, counts
from .flags import Verdict
from .porting import port
from .showing import table

__all__ = ["Checked", "Verdict", "as_dicts", "check", "counts", "port", "table"]


def check(path: Path | str) -> list[Checked]:
    """Every command of a recipe with a verdict for every flag; `UserError` if the file cannot be read as one."""
    return [checking.check(command) for command in reading.read(Path(path))]
