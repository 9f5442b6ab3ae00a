"""Serving a model over HTTP with LMDeploy: the command, a server that ends with its notebook, the stage `deploy`."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
from filelock import FileLock

from . import models, process
from .errors import UserError
from .run import Run

STAND_IN = "CPU stand-in (transformers, float32) behind LMDeploy's server"
PATIENCE = 180  # seconds that a server may take to load


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint that is up."""

    url: str
    model: str
    engine: str
    api_key: str | None = None

    def client(self) -> openai.OpenAI:
        """An OpenAI client for this endpoint; it waits ten minutes for an answer and does not retry."""
        return openai.OpenAI(base_url=self.url, api_key=self.api_key or "none", timeout=600, max_retries=0)


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
    with FileLock(models.cache_dir() / f"port-{port}.lock"):
        if not is_free(host, port):
            raise UserError(f"port {port} on {host} is in use by another program; stop it or change serve.server_port.")
        with process.background(command, log, {"HF_HUB_OFFLINE": "1"}) as child:
            deadline = time.monotonic() + PATIENCE
            while not _healthy(host, port):
                if child.poll() is not None:
                    raise UserError(f"the server ended before it was ready: {process.last_error(log)} Whole log: {log}")
                if time.monotonic() > deadline:
                    raise UserError(f"the server was not ready after {PATIENCE} s; read {log}.")
                time.sleep(0.3)
            engine = "LMDeploy" if has_gpu() else STAND_IN
            yield Endpoint(f"http://{host}:{port}/v1", options["model_name"], engine, api_key)


def _healthy(host: str, port: int) -> bool:
    try:
        return httpx.get(f"http://{host}:{port}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


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


QUESTION = "我最近总是睡不好，一躺下就开始想白天的事。"


def build(run: Run, work: Path) -> dict:
    """Serve the merged model behind a key and check what a client relies on; leaves `server.log` and `answers.json`."""
    options, system = run.profile.serve, run.profile.sft["system"]
    with serve(run.merged, options, work / "server.log", api_key="a-key-for-this-check") as endpoint:
        root = endpoint.url.removesuffix("/v1")
        started = time.monotonic()
        answer = ask(endpoint, QUESTION, system)
        seconds = time.monotonic() - started
        pieces = list(stream(endpoint, QUESTION, system))
        key = {"Authorization": f"Bearer {endpoint.api_key}"}
        body = {"model": endpoint.model, "messages": messages("好" * 4 * options["session_len"], system)}
        listed = httpx.get(f"{root}/v1/models", headers=key, timeout=30).json()
        results = {
            "models": [m["id"] for m in listed["data"]],
            "streamed_equals_whole": "".join(pieces) == answer,
            "status_wrong_key": httpx.get(f"{root}/v1/models", timeout=30).status_code,
            "status_too_long": httpx.post(
                f"{root}/v1/chat/completions", json=body, headers=key, timeout=120
            ).status_code,
        }
        engine = endpoint.engine
    talk = {"question": QUESTION, "answer": answer}
    (work / "answers.json").write_text(json.dumps(talk, ensure_ascii=False, indent=1), encoding="utf-8")
    return {
        "engine": engine,
        "command": process.shown(serve_command(Path("model"), options)),
        **results,
        "pieces": len(pieces),
        "seconds_for_one_answer": round(seconds, 2),
        "port_free_afterwards": is_free(options["server_name"], options["server_port"]),
        **talk,
    }
