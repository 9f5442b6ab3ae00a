"""LoRA fine-tuning with `swift sft`: the stage `sft`, its log, and the adapter it leaves."""

import json
import re
import shutil
from pathlib import Path

import yaml

from . import models, process
from .errors import UserError
from .progress import Progress
from .run import Run

# Neither a hub nor a GPU is asked for where there is none. A waiting OpenMP thread spins a little before it sleeps: not
# at all made a step a fifth slower, and the default took the core from whatever else ran.
OFFLINE = {"HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": "20000", "TOKENIZERS_PARALLELISM": "false"}


def arguments(run: Run, work: Path) -> dict:
    """The arguments of `swift sft` for this run: the profile's own, and the paths."""
    given = {k: v for k, v in run.profile.sft.items() if v is not None}
    env = {**OFFLINE, "CUDA_VISIBLE_DEVICES": ""} if given["use_cpu"] else {}
    return {
        "model": str(models.fetch(run.profile.model)),
        "model_type": "llama",
        "dataset": [str(run.train_file)],
        "val_dataset": [str(run.val_file)],
        "output_dir": str(work / "swift"),
        "swanlab_project": "llama-to-listener",
        "swanlab_exp_name": run.profile.name,
        "add_version": False,  # checkpoints lie where the next run finds them
        "check_model": False,  # asks a hub for a listing, seven seconds of retries when offline
        **given,
        **({"ENV": env} if env else {}),
    }


def write_yaml(run: Run, work: Path) -> Path:
    """Write `sft.yaml`; `swift sft sft.yaml` runs it without this package."""
    file = work / "sft.yaml"
    args = arguments(run, work)
    checkpoint = last_checkpoint(work)
    if checkpoint:
        args["resume_from_checkpoint"] = str(checkpoint)
    text = yaml.safe_dump(args, allow_unicode=True, sort_keys=False, width=120)
    file.write_text(f"# swift sft {file.name}\n{text}", encoding="utf-8")
    return file


def last_checkpoint(work: Path) -> Path | None:
    """The newest whole checkpoint below a work folder (`trainer_state.json` is written last), or None."""
    found = [p.parent for p in work.glob("swift/checkpoint-*/trainer_state.json")]
    return max(found, key=step_of, default=None)


def step_of(checkpoint: Path | None) -> int:
    """The step in a checkpoint's name, 0 for None."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def command(file: Path) -> list:
    """The command that trains."""
    return ["swift", "sft", file]


def read_log(file: Path) -> list[dict]:
    """ms-swift's `logging.jsonl` as rows with an integer `step`; a step logged twice after a resume counts once."""
    rows: dict[tuple, dict] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if "loss" in row or "eval_loss" in row:
                row["step"], row["max_steps"] = map(int, row["global_step/max_steps"].split("/"))
                rows[row["step"], "eval_loss" in row] = row
    return [rows[k] for k in sorted(rows)]


def train(run: Run, work: Path, stop_at: int | None = None) -> process.Finished:
    """Train in `work`, from its last checkpoint if there is one.

    Args:
        stop_at: end the process once the checkpoint of this step is whole, as Ctrl-C would.
    """
    file, log = write_yaml(run, work), work / "swift" / "logging.jsonl"
    with Progress(step_of(last_checkpoint(work))) as progress:

        def watch() -> bool:
            progress.update(read_log(log))
            return bool(stop_at and step_of(last_checkpoint(work)) >= stop_at)

        # swanlab writes `swanlog/` where the process starts
        finished = process.run(command(file), work / "sft.log", watch=watch, cwd=work)
        progress.update(read_log(log))
        return finished


def build(run: Run, work: Path, stop_at: int | None = None) -> dict:
    """Fill `work` with `adapter/`, `sft.yaml`, `sft.log` and the SwanLab run; return what was measured."""
    sessions = work / "sessions.json"
    spent = json.loads(sessions.read_text()) if sessions.is_file() else []
    first = last_checkpoint(work)
    finished = train(run, work, stop_at)
    rows = read_log(work / "swift" / "logging.jsonl")
    steps = max((r["step"] for r in rows), default=0)
    spent.append(
        {
            "from_step": step_of(first),
            "to_step": steps,
            "seconds": round(finished.seconds, 1),
            "peak_rss_gib": round(finished.peak_rss / 2**30, 2),
        }
    )
    sessions.write_text(json.dumps(spent))
    return finish(run, work, rows, spent)


def keep_adapter(work: Path, log: Path) -> None:
    """Copy the last checkpoint's adapter to `adapter/`.

    Raises:
        UserError: there is no checkpoint; `log` says why.
    """
    checkpoint = last_checkpoint(work)
    if checkpoint is None:
        raise UserError(f"swift {log.stem} left no checkpoint below {work}; read {log}.")
    adapter = work / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(checkpoint / name, adapter / name)


def finish(run: Run, work: Path, rows: list[dict], sessions: list[dict]) -> dict:
    """Move the last checkpoint's adapter into place and collect the numbers of a finished training."""
    keep_adapter(work, work / "sft.log")
    evals = [r for r in rows if "eval_loss" in r]
    trained = [r for r in rows if "loss" in r]
    shape = _parameters((work / "sft.log").read_text(encoding="utf-8", errors="replace"))
    memory = [r["memory(GiB)"] for r in rows if "memory(GiB)" in r]
    (work / "sft.yaml").write_text(
        "# swift sft sft.yaml\n"
        + yaml.safe_dump(arguments(run, run.dir("sft")), allow_unicode=True, sort_keys=False, width=120),
        encoding="utf-8",
    )
    return {
        "command": process.shown(command(Path("sft.yaml"))),
        "seconds": round(sum(s["seconds"] for s in sessions), 1),  # of all sessions, not of the last one
        "steps": trained[-1]["step"] if trained else 0,
        "sessions": sessions,
        **shape,
        "adapter_bytes": (work / "adapter/adapter_model.safetensors").stat().st_size,
        "eval_loss_before": evals[0]["eval_loss"] if evals and evals[0]["step"] == 0 else None,
        "eval_loss_after": evals[-1]["eval_loss"] if evals and evals[-1]["step"] > 0 else None,
        "peak_rss_gib": max(s["peak_rss_gib"] for s in sessions),
        "peak_reserved_gib": max(memory, default=None),
        "train_log": [{"step": r["step"], "loss": r["loss"]} for r in trained],
    }


def _parameters(log: str) -> dict:
    """Parameter counts in millions, as ms-swift prints them, in parameters."""
    found = re.search(r"([\d.]+)M Params \(([\d.]+)M Trainable", log)
    total, trainable = (round(float(x) * 1e6) for x in found.groups()) if found else (None, None)
    return {"total_parameters": total, "trainable_parameters": trainable}


def pause(run: Run, step: int) -> str:
    """Start the stage and stop it when `step` is saved, as a power cut would; `run.require("sft")` carries on.

    Returns what happened, in a sentence. Does nothing when the stage is up to date.
    """
    run.require("data")
    if run.is_fresh("sft"):
        sessions = run.record("sft")["sessions"]
        return f"up to date: trained in {len(sessions)} sessions, " + ", then ".join(
            f"steps {s['from_step']}-{s['to_step']}" for s in sessions
        )
    work = run.work_dir("sft")
    work.mkdir(parents=True, exist_ok=True)
    if last_checkpoint(work) is None:
        build(run, work, stop_at=step)
    return f"stopped; {last_checkpoint(work).name} is on disk"
