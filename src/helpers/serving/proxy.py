"""Several servers of one model behind `lmdeploy serve proxy`: started together, ended together."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from .. import process
from ..errors import UserError
from ..machine import machine
from . import server
from .client import Endpoint
from .command import has_gpu

EXPIRATION = 90  # seconds between two health checks of the proxy: LMDeploy's default


@dataclass(frozen=True)
class Worker:
    """A server behind the proxy."""

    url: str
    child: subprocess.Popen
    log: Path

    def kill(self) -> None:
        """End the engine as the out-of-memory killer would, with SIGKILL."""
        for engine in psutil.Process(self.child.pid).children(recursive=True):
            os.kill(engine.pid, signal.SIGKILL)
        self.child.wait(15)


@dataclass(frozen=True)
class Pool:
    """The proxy's endpoint, the workers behind it, and the proxy's own process."""

    endpoint: Endpoint
    workers: list[Worker]
    proxy: subprocess.Popen
    log: Path

    def nodes(self) -> list[str]:
        """Addresses in the proxy's table now."""
        return list(_root(self.endpoint, "GET", "/nodes/status"))

    def remove(self, worker: Worker) -> None:
        """Take a worker out of the proxy's table."""
        _root(self.endpoint, "POST", "/nodes/remove", {"url": worker.url})


def proxy_command(host: str, port: int, api_key: str | None = None) -> list:
    """`lmdeploy serve proxy …`; without `--disable-cache-status` it writes its table into its own package folder."""
    words = ["lmdeploy", "serve", "proxy", "--server-name", host, "--server-port", port, "--disable-cache-status"]
    return words + (["--api-keys", api_key] if api_key else [])


@contextmanager
def pool(
    model: Path, options: dict, count: int, logs: Path, api_key: str | None = None, expiration: int = EXPIRATION
) -> Iterator[Pool]:
    """Serve a model with `count` workers on free ports of this machine, and the proxy on the profile's port.

    Raises:
        UserError: as `server.serve`, an address that a network reaches, or fewer GPUs than workers.
    """
    host, port = options["server_name"], options["server_port"]
    if host not in server.LOOPBACK:
        raise UserError(
            f"several workers are served on 127.0.0.1 alone, not on {host}: LMDeploy's proxy lets anybody add, remove "
            f"and stop workers without a key; put a web server in front that passes on /v1 only."
        )
    server.check_model(Path(model))
    devices = _devices(count, options["tp"])
    with ExitStack() as stack:
        stack.enter_context(server.my_turn(host, port))
        workers = []
        for i in range(count):
            own = options | {"server_name": "127.0.0.1", "server_port": server.free_port()}
            log = logs / f"worker-{i + 1}.log"
            child = stack.enter_context(server.launched(model, own, log, api_key, devices[i]))
            workers.append(Worker(f"http://127.0.0.1:{own['server_port']}", child, log))
        for worker in workers:
            server.wait_until(f"{worker.url}/health", worker.child, worker.log)
        log = logs / "proxy.log"
        env = {"LMDEPLOY_CONTROLLER_HEART_BEAT_EXPIRATION": str(expiration)}
        child = stack.enter_context(process.background(proxy_command(host, port, api_key), log, env))
        server.wait_until(f"http://{host}:{port}/nodes/status", child, log)
        endpoint = Endpoint(f"http://{host}:{port}/v1", options["model_name"], server.engine(), api_key)
        ready = Pool(endpoint, workers, child, log)
        _register(ready)
        yield ready


@contextmanager
def minded(pool: Pool, say=print) -> Iterator[None]:
    """Take a worker that has ended out of the proxy's table at once, and say so; LMDeploy's own check may take 90 s."""
    stop = threading.Event()

    def mind() -> None:
        left = list(pool.workers)
        while not stop.wait(0.5):
            for worker in [w for w in left if w.child.poll() is not None]:
                left.remove(worker)
                pool.remove(worker)
                ended = server.ending(worker.child)
                say(f"worker {worker.url} ended ({ended}); {len(left)} of {len(pool.workers)} go on.", flush=True)

    thread = threading.Thread(target=mind, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _devices(count: int, tp: int) -> list[dict]:
    """The GPUs of each worker, or its share of the CPU, as an environment."""
    if not has_gpu():
        return [{"OMP_NUM_THREADS": str(max(1, machine()["cores"] // count))}] * count
    import torch

    if torch.cuda.device_count() < count * tp:
        raise UserError(f"{count} workers of {tp} GPUs each need {count * tp}; here are {torch.cuda.device_count()}.")
    return [{"CUDA_VISIBLE_DEVICES": ",".join(str(i * tp + j) for j in range(tp))} for i in range(count)]


def _register(pool: Pool) -> None:
    """Fill the proxy's table; what an earlier proxy left in it is removed first."""
    for url in pool.nodes():
        _root(pool.endpoint, "POST", "/nodes/remove", {"url": url})
    for worker in pool.workers:
        # with its models named, the proxy asks the worker nothing: it would do so without the key
        known = {"url": worker.url, "status": {"models": [pool.endpoint.model]}}
        said = _root(pool.endpoint, "POST", "/nodes/add", known)
        if said != "Added successfully":
            raise UserError(f"the proxy did not take {worker.url}: {said} Log: {pool.log}")


def _root(endpoint: Endpoint, method: str, path: str, body: dict | None = None):
    root = endpoint.url.removesuffix("/v1")
    return httpx2.request(method, root + path, json=body, timeout=20, trust_env=False).raise_for_status().json()
