"""The stage `deploy`: serve the merged model, ask, load and break it, and leave nothing behind."""

import json
import sys
import time
from pathlib import Path

import psutil

from .. import process
from ..run import Run
from . import budget, command, failover, faults, load, metrics, proxy, server
from .client import QUESTION, ask, stream

ANSWER = 64  # tokens
EXPIRATION = 10  # seconds between the proxy's health checks here, so that the page need not wait for 90
KEY = "a-key-for-this-check"


def inputs(run: Run) -> list[Path]:
    """The other files of this package, and the stand-in: what is recorded depends on them."""
    own = [p for p in Path(__file__).parent.glob("*.py") if p.name != Path(__file__).name]
    return sorted([*own, Path(__file__).parents[1] / "lmdeploy_cpu.py"])


def build(run: Run, work: Path) -> dict:
    """Everything page 6 shows; leaves `server.log`, `answers.json`, EvalScope's reports and the proxy's logs."""
    options, system = run.profile.serve, run.profile.sft["system"]
    command.demand(options | {"api_keys": KEY})
    before = set(psutil.Process().children(recursive=True))
    with server.running(run.merged, options, work / "server.log", KEY) as (endpoint, child):
        talk = _talk(endpoint, system)
        prompts = work / "prompts.jsonl"
        load.write_prompts(run.val_file, system, prompts)
        results = {
            "models": [m.id for m in endpoint.client().models.list()],
            "refusals": faults.refusals(endpoint, options["session_len"]),
            "load": load.sweep(endpoint, prompts, work / "load", work / "evalscope.log"),
            "left_in_mid_stream": faults.leave(endpoint, system),
            "counted": metrics.read(endpoint),
            "killed": faults.kill(endpoint, child, system),
        }
    with proxy.pool(run.merged, options, 2, work, KEY, EXPIRATION) as pool:
        results["two_workers"] = failover.demonstrate(pool, system)
    children = set(psutil.Process().children(recursive=True)) - before
    text = json.dumps({k: talk[k] for k in ("question", "answer")}, ensure_ascii=False, indent=1)
    (work / "answers.json").write_text(text, encoding="utf-8")
    return {
        "engine": endpoint.engine,
        "command": process.shown(command.serve_command(Path("model"), options)).replace(sys.executable, "python"),
        "gpu_commands": command.gpu_commands(),
        "kv_cache": budget.table(),
        **talk,
        **results,
        "health_check_seconds": EXPIRATION,
        "port_free_afterwards": server.is_free(options["server_name"], options["server_port"]),
        "processes_left": sum(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in children),
    }


def _talk(endpoint, system: str) -> dict:
    """One answer, whole and as a stream."""
    started = time.monotonic()
    answer = ask(endpoint, QUESTION, system, ANSWER)
    seconds = time.monotonic() - started
    pieces = list(stream(endpoint, QUESTION, system, ANSWER))
    return {
        "question": QUESTION,
        "answer": answer,
        "seconds_for_one_answer": round(seconds, 2),
        "pieces": len(pieces),
        "streamed_equals_whole": "".join(pieces) == answer,
    }
