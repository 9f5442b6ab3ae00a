"""The stages without Jupyter: `python -m helpers --help`."""

import json
import shutil
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from . import profile as profiles
from . import progress
from .errors import UserError
from .run import STAGES, Run

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


@app.command()
def profile(as_json: Annotated[bool, typer.Option("--json", help="Print the whole profile as JSON.")] = False):
    """Show the profile in force and the reason why."""
    chosen = profiles.resolve()
    print(json.dumps(vars(chosen), ensure_ascii=False, indent=1) if as_json else chosen)


@app.command()
def run(
    stages: Annotated[
        list[str] | None, typer.Argument(help=f"Any of: {' '.join(STAGES)}. All, if none is named.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
):
    """Run stages, and what they need, that are missing or out of date."""
    for stage in stages or []:
        if stage not in STAGES:
            raise typer.BadParameter(f"no stage {stage!r}; there are: {', '.join(STAGES)}")
    this = Run.current()
    if not as_json:
        print(f"profile: {this.profile}", flush=True)
    for stage in stages or STAGES:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():  # progress must not stand among the JSON
            this.require(stage)
        if not as_json:
            record = this.record(stage)
            print(f"{STAGES[stage].folder:15s} {record['seconds']:7.1f} s  {this.dir(stage)}", flush=True)
    if as_json:
        print(json.dumps([this.record(s) for s in stages or STAGES], ensure_ascii=False, indent=1))


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(help="ShareGPT dialogues: JSONL or a JSON array, also gzipped.")],
    out: Annotated[Path, typer.Option(help="Folder for clean, quarantined and repaired rows, flags and report.")],
    val: Annotated[Path | None, typer.Option(help="Dialogues that must not be among the rows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
):
    """Inspect dialogues: keep, repair or quarantine every row, with a reason."""
    from . import inspection

    chosen = profiles.resolve()
    prompts = [profiles.ROOT / chosen.eval[k] for k in ("quiz", "safety")]
    with progress.rows() as advance:
        report = inspection.inspect(files, out, val, prompts, chosen.data["inspect"], progress=advance)
    print(json.dumps(report, ensure_ascii=False, indent=1) if as_json else inspection.text(report, out))


@app.command()
def clean():
    """Remove everything that the profile in force has written below outputs/. Downloaded models stay."""
    shutil.rmtree(Run.current().root, ignore_errors=True)


def main() -> int:
    """Exit code 0: done. 1: failed, with one sentence. 2: wrong usage."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
