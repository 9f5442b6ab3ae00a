"""One server that ends with its owner: start, wait until it is ready, say why it is not, end it."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import httpx2
from filelock import FileLock, Timeout

from .. import models, process
from ..errors import UserError
from .client import Endpoint
from .command import has_gpu, serve_command

STAND_IN = "CPU stand-in (transformers, float32) behind LMDeploy's server"
PATIENCE = 600  # seconds that a server may take to load; 16 GB of weights from a cold disk take minutes
TURN = 1800  # seconds to wait for a server of another notebook of this project to end
LOOPBACK = ("127.0.0.1", "localhost")
# threads that wait in a loop for each other take the CPU from the thread they wait for: with other programs beside the
# stand-in, a decoding step took up to four times as long
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def engine() -> str:
    """The true name of the engine that answers on this machine."""
    return f"LMDeploy {version('lmdeploy')}" if has_gpu() else STAND_IN


def is_free(host: str, port: int) -> bool:
    """True if nothing listens on the port."""
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((host, port)) != 0


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def serve(model: Path, options: dict, log: Path, api_key: str | None = None) -> Iterator[Endpoint]:
    """Serve a model folder while the block runs; leaving it ends the server.

    Two notebooks of this project wait for each other; anybody else's program on the port is an error.

    Raises:
        UserError: no model, the port is busy, open to a network without a key, or the server ended before it was ready.
    """
    with running(model, options, log, api_key) as (endpoint, _):
        yield endpoint


@contextmanager
def running(
    model: Path, options: dict, log: Path, api_key: str | None = None
) -> Iterator[tuple[Endpoint, subprocess.Popen]]:
    """As `serve`, with the process: `child.poll()` tells whether the server still lives."""
    host, port = options["server_name"], options["server_port"]
    check_access(host, api_key)
    check_model(Path(model))
    with my_turn(host, port), launched(model, options, log, api_key) as child:
        local = reachable(host)
        wait_until(f"http://{local}:{port}/health", child, log)
        yield Endpoint(f"http://{local}:{port}/v1", options["model_name"], engine(), api_key), child


@contextmanager
def launched(
    model: Path, options: dict, log: Path, api_key: str | None = None, env: dict | None = None
) -> Iterator[subprocess.Popen]:
    """The server's process, not yet ready; leaving the block ends it."""
    command = serve_command(model, options) + (["--api-keys", api_key] if api_key else [])
    with process.background(command, log, ENVIRONMENT | (env or {})) as child:
        yield child


def check_access(host: str, api_key: str | None) -> None:
    """Refuse to answer a whole network without a key."""
    if host not in LOOPBACK and not api_key:
        raise UserError(f"{host} is open to the network: give a key, or serve on 127.0.0.1.")
    if api_key and (api_key.startswith("-") or not api_key.isascii() or len(api_key.split()) != 1):
        raise UserError("a key is one word of ASCII letters, digits and signs that does not begin with '-'.")


def check_port(host: str, port: int) -> None:
    """Refuse a port on which another program listens; this project never moves to another one by itself."""
    if not is_free(reachable(host), port):
        raise UserError(
            f"port {port} on {host} is in use by another program; stop it, or change serve.server_port in the profile, "
            f"or --port of the verb serve."
        )


def check_model(folder: Path) -> None:
    """Refuse a folder that no server can load, before one is started."""
    if not folder.is_dir():
        raise UserError(f"model folder {folder} does not exist; page 5 makes one: `python -m helpers run export`.")
    own = "tokenizer.model" if (folder / "tokenizer.model").is_file() else "tokenizer.json"
    for name, what in (("config.json", "model"), ("tokenizer_config.json", "tokenizer"), (own, "tokenizer")):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {what}: {name} is missing; export it again with page 5.")


def reachable(host: str) -> str:
    """The address at which this machine itself reaches a server: `0.0.0.0` is not one."""
    return "127.0.0.1" if host in ("0.0.0.0", "") else host


@contextmanager
def my_turn(host: str, port: int) -> Iterator[None]:
    """Wait for this project's other notebooks to leave the port; refuse it if another program listens there."""
    models.cache_dir().mkdir(parents=True, exist_ok=True)
    lock = FileLock(models.cache_dir() / f"port-{port}.lock")
    try:
        lock.acquire(timeout=TURN)
    except Timeout:
        raise UserError(
            f"another notebook of this project has served on port {port} for {TURN // 60} minutes; end its server."
        ) from None
    try:
        check_port(host, port)
        yield
    finally:
        lock.release()


def wait_until(url: str, child: subprocess.Popen, log: Path) -> None:
    """Wait until a server answers with 200.

    Raises:
        UserError: it ended, or took too long; with the last error of its log.
    """
    deadline = time.monotonic() + PATIENCE
    while child.poll() is None and time.monotonic() < deadline:
        try:
            if httpx2.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            pass  # not yet
        time.sleep(0.3)
    if child.poll() is None:
        raise UserError(f"the server was not ready after {PATIENCE} s; read {log}.")
    raise UserError(f"the server ended before it was ready ({ending(child)}): {process.last_error(log)} Log: {log}")


def ending(child: subprocess.Popen) -> str:
    """How a process of `process.background` ended, in words."""
    code = child.returncode
    number = 256 - code if code > 192 else -code  # its guard passes a signal on in one byte
    try:
        return f"killed by {signal.Signals(number).name}" if number > 0 else f"exit code {code}"
    except ValueError:
        return f"exit code {code}"
