"""The stages without Jupyter: `python -m helpers --help`."""

import json
import os
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

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    no_args_is_help=True,
    help=__doc__,
    pretty_exceptions_enable=False,
)


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


@app.command("check-recipe")
def check_recipe(
    file: Annotated[Path, typer.Argument(help="YAML of ms-swift, a profile, a shell script or a Markdown page.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every verdict as JSON.")] = False,
    port: Annotated[
        bool, typer.Option("--port", help="Print the recipe in commands that the installed tools take.")
    ] = False,
):
    """Check a recipe flag by flag against the installed ms-swift and LMDeploy. Exit code 1: there are findings."""
    from . import recipe

    checked = recipe.check(file)
    if as_json:
        print(json.dumps(recipe.as_dicts(checked), ensure_ascii=False, indent=1))
    elif port:
        print(recipe.port(checked), end="")
    else:
        print(recipe.table(checked))
    if not port and not all(one.clean for one in checked):
        raise typer.Exit(1)


@app.command()
def parity(as_json: Annotated[bool, typer.Option("--json", help="Print every token id as JSON.")] = False):
    """Compare the prompt of training with the prompt of serving, token by token. Exit code 1: they differ."""
    from . import parity, template

    this = Run.current()
    with redirect_stdout(sys.stderr), parity.exported_or_like_it(this) as (folder, what):
        rows = parity.compare(this.profile, folder)
        tokenizer = template.load(this.profile).tokenizer
    if as_json:
        print(json.dumps(parity.as_dicts(rows), ensure_ascii=False, indent=1))
    else:
        print(f"profile: {this.profile}\nserved: {what}")
        print(parity.table(rows, tokenizer, colour=sys.stdout.isatty()))
    if not all(row.equal for row in rows):
        raise typer.Exit(1)


@app.command()
def serve(
    model: Annotated[Path | None, typer.Option(help="A model folder; else the run's merged model.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Else the profile's.")] = None,
    host: Annotated[str | None, typer.Option(help="Else the profile's, 127.0.0.1. Any other needs a key.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Servers behind LMDeploy's proxy.")] = 1,
):
    """Serve the merged model over HTTP until Ctrl-C."""
    from .serving import terminal

    changes = {"server_port": port, "server_name": host}
    terminal.serve(Run.current(), model, {k: v for k, v in changes.items() if v}, api_key_env, workers)


@app.command()
def evaluate(
    endpoint: Annotated[str | None, typer.Option(help="Address of any OpenAI-compatible endpoint, with /v1.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name there.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="The environment variable that holds its key.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask also what it has answered before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
):
    """Score base against tuned model, or, with --endpoint, whatever answers there."""
    from .evaluation import endpoints, report

    if bool(endpoint) != bool(model):
        raise typer.BadParameter("--endpoint and --model belong together")
    if api_key_env and api_key_env not in os.environ:
        raise UserError(f"the environment variable {api_key_env} is not set; set it to the endpoint's key.")
    this = Run.current()
    with redirect_stdout(sys.stderr):  # progress must not stand among the scores
        if endpoint:
            scores = endpoints.judge(this, endpoint, model, os.environ.get(api_key_env or ""), again)
        else:
            this.require("evaluate")
            scores = this.record("evaluate")
    where = endpoints.folder(this, endpoint, model) if endpoint else this.dir("evaluate")
    print(json.dumps(scores, ensure_ascii=False, indent=1) if as_json else report.text(scores, where))


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(help="ShareGPT dialogues: JSONL or a JSON array, also gzipped.")],
    out: Annotated[Path, typer.Option(help="Folder for clean, quarantined and repaired rows, flags and report.")],
    val: Annotated[Path | None, typer.Option(help="Dialogues that must not be among the rows.")] = None,
    max_length: Annotated[int, typer.Option(help="Tokens of Llama-3 that a row may have.", min=1)] = 3072,
    tokenizer: Annotated[
        list[Path] | None, typer.Option(help="A model's folder: count its tokens too. Repeat it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
):
    """Inspect dialogues: keep, repair or quarantine every row, with a reason."""
    from . import inspection

    chosen = profiles.resolve()
    prompts = [profiles.ROOT / chosen.eval[k] for k in ("quiz", "safety")]
    with progress.rows() as advance:
        overrides = chosen.data["inspect"]
        report = inspection.inspect(files, out, val, prompts, overrides, max_length, tokenizer or (), progress=advance)
    print(json.dumps(report, ensure_ascii=False, indent=1) if as_json else inspection.text(report, out))


@app.command()
def clean():
    """Remove everything that the profile in force has written below outputs/. Downloaded models stay."""
    shutil.rmtree(Run.current().root, ignore_errors=True)


@app.command()
def vram(
    profile: Annotated[str | None, typer.Option(help="A profile; else the one in force.")] = None,
    config: Annotated[Path | None, typer.Option(help="A model's own config.json.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="key=value, ms-swift's names. Repeat it.")] = None,
    gpu: Annotated[str | None, typer.Option(help="24, 40, 80 (GB) or a name; else the profile's.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Trace every layer: about ten seconds for 8B.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON, in bytes.")] = False,
):
    """Predict the memory of a training step, on any machine."""
    from .vram import command

    answer = command.run(profile, config, changes or [], gpu, trace)
    print(json.dumps(command.as_dict(*answer), ensure_ascii=False, indent=1) if as_json else command.as_text(*answer))


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
