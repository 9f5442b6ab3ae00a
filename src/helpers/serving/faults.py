"""Requests and deaths that a server must survive, or report: a row each for the table of page 6."""

import os
import signal
import subprocess
import time
from dataclasses import replace

import openai
import psutil

from ..errors import UserError
from . import metrics, server
from .client import QUESTION, Endpoint, messages, pieces, status

LONG = 600  # tokens that a client asks for before it leaves


def refusals(endpoint: Endpoint, session_len: int) -> dict[str, dict]:
    """Requests that are wrong: status and LMDeploy's own words."""
    client, stranger = endpoint.client(), replace(endpoint, api_key="a-wrong-key").client()
    asked = {
        "a wrong key": status(stranger, endpoint, "你好"),
        "a prompt longer than session_len": status(client, endpoint, "好" * 4 * session_len),
        "temperature 3": status(client, endpoint, "你好", temperature=3),
        "a model that is not served": status(client, endpoint, "你好", model="somebody-else"),
    }
    return {what: {"status": code, "says": says[:200]} for what, (code, says) in asked.items()}


def leave(endpoint: Endpoint, system: str) -> dict:
    """Leave in the middle of a long answer; the next client must not wait for the rest of it."""
    asked = {"temperature": 0, "max_tokens": LONG, "extra_body": {"ignore_eos": True}, "stream": True}
    before = metrics.read(endpoint)["generated tokens"]
    answer = endpoint.client().chat.completions.create(
        model=endpoint.model, messages=messages(QUESTION, system), **asked
    )
    next(pieces(answer))
    answer.close()
    started = time.monotonic()
    code, _ = status(endpoint.client(), endpoint, "你好", max_tokens=1)
    return {
        "tokens asked for": LONG,
        "tokens made for both": round(metrics.read(endpoint)["generated tokens"] - before),
        "the next client": code,
        "seconds it waited": round(time.monotonic() - started, 2),
    }


def kill(endpoint: Endpoint, child: subprocess.Popen, system: str) -> dict:
    """Kill the engine with SIGKILL while an answer streams: what its client, the next one and the owner see."""
    below = psutil.Process(child.pid).children(recursive=True)
    asked = {"temperature": 0, "max_tokens": LONG, "extra_body": {"ignore_eos": True}, "stream": True}
    answer = pieces(
        endpoint.client().chat.completions.create(model=endpoint.model, messages=messages(QUESTION, system), **asked)
    )
    next(answer)
    for one in below:
        os.kill(one.pid, signal.SIGKILL)
    try:
        told = f"{len(list(answer))} more pieces"
    except UserError as error:
        told = str(error)
    try:
        afterwards = str(status(endpoint.client(), endpoint, "你好")[0])
    except openai.APIConnectionError as error:
        afterwards = f"{type(error).__name__}: {error}"
    child.wait(15)
    return {"its client": told, "the next client": afterwards, "its owner": server.ending(child)}
