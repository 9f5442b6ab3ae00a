"""The verb `serve`: a server in a terminal, until Ctrl-C."""

import json
import os
import shlex
import shutil
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from .. import process
from ..errors import UserError
from ..run import Run
from . import proxy, server
from .client import QUESTION, Endpoint, messages
from .command import demand, serve_command

NOT_A_CLINICIAN = (
    "This model is not a clinician. It invents, and it misses danger. "
    "In an emergency in mainland China: 12356, 120 or 110."
)


def serve(run: Run, model: Path | None, changes: dict, key_name: str | None, workers: int) -> None:
    """Serve a folder, or the run's merged model, until Ctrl-C, SIGTERM or the server's own end.

    Args:
        changes: to the profile's `serve` section.
        key_name: an environment variable that holds the key; a key on this command line would stay in its history.

    Raises:
        UserError: no model, no key where one is needed, a busy port, or a server that ended.
    """
    key, options = read_key(key_name), run.profile.serve | changes
    server.check_access(options["server_name"], key)
    if model is not None:
        server.check_model(model)
    server.check_port(options["server_name"], options["server_port"])  # in a terminal nobody waits for a turn
    demand(options | ({"api_keys": key} if key else {}))
    if model is None:
        run.require("export")
    folder = model or run.merged
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    print(f"profile: {run.profile}\nmodel:   {folder}", flush=True)
    print(f"command: {process.shown(serve_command(folder, options))}", flush=True)
    try:
        with logs() as place, started(folder, options, key, workers, place) as (endpoint, wait):
            print(f"engine:  {endpoint.engine}\nlogs:    {place}\n\n{NOT_A_CLINICIAN}\n")
            print(f"{curl(endpoint, run.profile.sft['system'], key_name)}\n\nReady. Ctrl-C stops it.", flush=True)
            wait()
    except KeyboardInterrupt:
        print("stopped.", flush=True)


def read_key(name: str | None) -> str | None:
    """The key that an environment variable holds."""
    if name is None:
        return None
    if not os.environ.get(name):
        raise UserError(f"the environment variable {name} is not set; `export {name}=…` first.")
    return os.environ[name]


@contextmanager
def logs():
    """A folder for the servers' logs, which stays when a server fails, because its error names it."""
    place = Path(tempfile.mkdtemp(prefix="listener-serve-"))
    try:
        yield place
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or not any(place.iterdir()):
            shutil.rmtree(place)
        raise


@contextmanager
def started(folder: Path, options: dict, key: str | None, workers: int, place: Path):
    """One server, or several behind a proxy: the endpoint, and a function that returns when all have ended."""
    if workers == 1:
        with server.running(folder, options, place / "server.log", key) as (endpoint, child):
            yield endpoint, lambda: outlast([(child, place / "server.log")])
    else:
        with proxy.pool(folder, options, workers, place, key) as pool, proxy.minded(pool):
            yield pool.endpoint, lambda: outlast([(w.child, w.log) for w in pool.workers], (pool.proxy, pool.log))


def outlast(children: list, needed: tuple | None = None) -> None:
    """Wait while one of the servers lives, and the one that is needed.

    Raises:
        UserError: always, when they have ended; with the last error of the log.
    """
    while any(child.poll() is None for child, _ in children) and (needed is None or needed[0].poll() is None):
        time.sleep(0.5)
    child, log = needed if needed and needed[0].poll() is not None else children[-1]
    raise UserError(f"the server ended ({server.ending(child)}): {process.last_error(log)} Log: {log}")


def curl(endpoint: Endpoint, system: str, key_name: str | None) -> str:
    """A request that can be pasted into another terminal; the key stays in its variable."""
    body = {"model": endpoint.model, "messages": messages(QUESTION, system), "max_tokens": 160, "temperature": 0}
    key = f' \\\n  -H "Authorization: Bearer ${key_name}"' if key_name else ""
    text = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl {endpoint.url}/chat/completions -H 'Content-Type: application/json'{key} \\\n  -d {text}"
