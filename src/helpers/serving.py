"""Serving a model over HTTP with LMDeploy: the command, a server that ends with its notebook, the stage `deploy`."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import httpx
import openai
import psutil
from filelock import FileLock, Timeout

from . import models, process
from .errors import UserError
from .run import Run

STAND_IN = "CPU stand-in (transformers, float32) behind LMDeploy's server"
PATIENCE = 600  # seconds that a server may take to load; 16 GB of weights from a cold disk take minutes
TURN = 1800  # seconds to wait for a server of another notebook of this project to end


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint that is up."""

    url: str
    model: str
    engine: str
    api_key: str | None = None

    def client(self) -> openai.OpenAI:
        """An OpenAI client for this endpoint; it waits ten minutes for an answer and does not retry."""
        # a proxy set in the environment (`HTTP_PROXY`) cannot reach this machine's own port
        direct = openai.DefaultHttpxClient(trust_env=False)
        return openai.OpenAI(
            base_url=self.url, api_key=self.api_key or "none", timeout=600, max_retries=0, http_client=direct
        )


def has_gpu() -> bool:
    """Whether LMDeploy's own engine can run here."""
    import torch

    return torch.cuda.is_available()


def serve_command(model: Path, options: dict) -> list:
    """`lmdeploy serve api_server …` from the `serve` section of a profile; without CUDA, behind the stand-in engine."""
    flags = [x for k, v in options.items() if v is not None for x in (f"--{k.replace('_', '-')}", v)]
    if has_gpu():
        return ["lmdeploy", "serve", "api_server", model, *flags]
    stand_in = [sys.executable, "-m", "helpers.lmdeploy_cpu"]
    return [*stand_in, "serve", "api_server", model, *flags, "--backend", "pytorch", "--disable-metrics"]


def is_free(host: str, port: int) -> bool:
    """True if nothing listens on the port."""
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((host, port)) != 0


@contextmanager
def serve(model: Path, options: dict, log: Path, api_key: str | None = None) -> Iterator[Endpoint]:
    """Serve a model folder while the block runs; leaving it ends the server.

    Two notebooks of this project wait for each other; anybody else's program on the port is an error.

    Raises:
        UserError: the port is busy, or the server ended before it was ready.
    """
    host, port = options["server_name"], options["server_port"]
    models.cache_dir().mkdir(parents=True, exist_ok=True)
    command = serve_command(model, options) + (["--api-keys", api_key] if api_key else [])
    with _turn(port):
        if not is_free(host, port):
            raise UserError(f"port {port} on {host} is in use by another program; stop it or change serve.server_port.")
        with process.background(command, log, {"HF_HUB_OFFLINE": "1"}) as child:
            _wait_until_ready(child, host, port, log)
            engine = f"LMDeploy {version('lmdeploy')}" if has_gpu() else STAND_IN
            yield Endpoint(f"http://{host}:{port}/v1", options["model_name"], engine, api_key)


@contextmanager
def _turn(port: int) -> Iterator[None]:
    lock = FileLock(models.cache_dir() / f"port-{port}.lock")
    try:
        lock.acquire(timeout=TURN)
    except Timeout:
        raise UserError(
            f"another notebook of this project has served on port {port} for {TURN // 60} minutes; end its server."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _wait_until_ready(child: subprocess.Popen, host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while child.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"http://{host}:{port}/health", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass  # not yet
        time.sleep(0.3)
    if child.poll() is None:
        raise UserError(f"the server was not ready after {PATIENCE} s; read {log}.")
    raise UserError(f"the server ended before it was ready: {process.last_error(log)} Whole log: {log}")


def messages(text: str, system: str) -> list[dict]:
    """One visitor's message below the system prompt that the model was trained with."""
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def ask(endpoint: Endpoint, text: str, system: str, max_tokens: int = 160) -> str:
    """One greedy answer."""
    done = endpoint.client().chat.completions.create(
        model=endpoint.model, messages=messages(text, system), temperature=0, max_tokens=max_tokens
    )
    return done.choices[0].message.content or ""


def stream(endpoint: Endpoint, text: str, system: str, max_tokens: int = 160) -> Iterator[str]:
    """The same answer, piece by piece as it is made."""
    parts = endpoint.client().chat.completions.create(
        model=endpoint.model, messages=messages(text, system), temperature=0, max_tokens=max_tokens, stream=True
    )
    yield from (p.choices[0].delta.content for p in parts if p.choices and p.choices[0].delta.content)


def status(client: openai.OpenAI, endpoint: Endpoint, text: str, **options) -> tuple[int, str]:
    """HTTP status and message of one request: 200 and the answer, or the server's own refusal."""
    options = {"model": endpoint.model, "max_tokens": 8, **options}
    try:
        done = client.chat.completions.create(messages=[{"role": "user", "content": text}], **options)
        return 200, done.choices[0].message.content or ""
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        return error.status_code, str(body.get("message") or body.get("error") or error.message)


def speed(endpoint: Endpoint, system: str, at_once: int, tokens: int = 64) -> dict:
    """Tokens per second of `at_once` requests sent together, each of exactly `tokens` new tokens."""
    client, whole = endpoint.client(), {"max_tokens": tokens, "extra_body": {"ignore_eos": True}, "temperature": 0}

    def one(i: int) -> int:
        asked = messages(f"{i + 1}. {QUESTION}", system)
        return client.chat.completions.create(model=endpoint.model, messages=asked, **whole).usage.completion_tokens

    started = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        made = sum(pool.map(one, range(at_once)))
    seconds = time.monotonic() - started
    return {"requests": at_once, "tokens": made, "seconds": round(seconds, 2), "per_second": round(made / seconds, 1)}


QUESTION = "我最近总是睡不好，一躺下就开始想白天的事。"


def build(run: Run, work: Path) -> dict:
    """Serve the merged model behind a key and check what a client relies on; leaves `server.log` and `answers.json`."""
    options, system = run.profile.serve, run.profile.sft["system"]
    before = set(psutil.Process().children(recursive=True))
    with serve(run.merged, options, work / "server.log", api_key="a-key-for-this-check") as endpoint:
        client, stranger = endpoint.client(), replace(endpoint, api_key="a-wrong-key").client()
        started = time.monotonic()
        answer = ask(endpoint, QUESTION, system)
        seconds = time.monotonic() - started
        pieces = list(stream(endpoint, QUESTION, system))
        asked = {
            "a wrong key": status(stranger, endpoint, "你好"),
            "a prompt longer than session_len": status(client, endpoint, "好" * 4 * options["session_len"]),
            "temperature 3": status(client, endpoint, "你好", temperature=3),
            "a model that is not served": status(client, endpoint, "你好", model="somebody-else"),
        }
        results = {
            "models": [m.id for m in client.models.list()],
            "streamed_equals_whole": "".join(pieces) == answer,
            "refusals": {what: {"status": code, "says": says[:200]} for what, (code, says) in asked.items()},
            "speed": [speed(endpoint, system, n) for n in (1, 8)],
        }
        engine, children = endpoint.engine, set(psutil.Process().children(recursive=True)) - before
    talk = {"question": QUESTION, "answer": answer}
    (work / "answers.json").write_text(json.dumps(talk, ensure_ascii=False, indent=1), encoding="utf-8")
    return {
        "engine": engine,
        "command": process.shown(serve_command(Path("model"), options)).replace(sys.executable, "python"),
        **results,
        "pieces": len(pieces),
        "seconds_for_one_answer": round(seconds, 2),
        "port_free_afterwards": is_free(options["server_name"], options["server_port"]),
        "processes_left": sum(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in children),
        **talk,
    }
