"""What clients get when one of two workers is killed under load: plain ones, and one that notices and asks again."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai

from .client import QUESTION, Endpoint, messages, status
from .proxy import Pool

IN_FLIGHT = 6  # requests that run when the worker dies
AFTERWARDS = 3  # requests sent when it is dead, before the proxy has noticed
TOKENS = 24
RETRIES = 6  # 0.5 + 1 + 2 + 4 + 8 + 8 s: longer than the proxy needs to notice


def demonstrate(pool: Pool, system: str) -> dict:
    """Kill one worker while requests run, and record what plain clients and a patient one get."""
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        running = [threads.submit(plain, pool.endpoint, system, i, 4 * TOKENS) for i in range(IN_FLIGHT)]
        time.sleep(1.5)  # they have arrived, and none has finished
        pool.workers[0].kill()
        # the living worker is busy with the others, so the proxy sends all of these to the dead one
        after = [plain(pool.endpoint, system, 10 + i, TOKENS) for i in range(AFTERWARDS)]
        package = as_the_package_sees_it(pool.endpoint)
        patient = insist(pool.endpoint, system)
        at_once = [one.result() for one in running]
    return {
        "in flight when it died": count(at_once),
        "sent afterwards": count(after),
        "the openai package alone": package,
        "a client that notices and retries": patient,
        "workers in the table at the end": len(pool.nodes()),
    }


def plain(endpoint: Endpoint, system: str, number: int, tokens: int) -> dict:
    """One request without any client library: its HTTP status, and the body if it holds no answer."""
    body = {"model": endpoint.model, "messages": messages(f"{number}. {QUESTION}", system), "max_tokens": tokens}
    got = httpx2.post(
        f"{endpoint.url}/chat/completions",
        json=body | {"temperature": 0, "ignore_eos": True},
        headers={"Authorization": f"Bearer {endpoint.api_key}"},
        timeout=300,
        trust_env=False,
    )
    said = got.json()
    return {"status": got.status_code, "body": "an answer" if "choices" in said else got.text}


def count(answers: list[dict]) -> list[dict]:
    """Equal answers together, with how many there were."""
    kinds = {(a["status"], a["body"]): 0 for a in answers}
    for a in answers:
        kinds[a["status"], a["body"]] += 1
    return [{"requests": n, "status": code, "body": body} for (code, body), n in kinds.items()]


def as_the_package_sees_it(endpoint: Endpoint) -> str:
    """What `openai`, used as everybody does, makes of such a body: an answer without choices, or an exception."""
    direct = openai.DefaultHttpxClient(trust_env=False)
    client = openai.OpenAI(base_url=endpoint.url, api_key=endpoint.api_key or "none", http_client=direct)
    try:
        done = client.chat.completions.create(
            model=endpoint.model, messages=messages(QUESTION, "你好"), max_tokens=4, temperature=0
        )
        return "an answer" if done.choices else f"no exception, and choices is {done.choices}"
    except openai.OpenAIError as error:
        return f"{type(error).__name__}: {error}"


def insist(endpoint: Endpoint, system: str) -> dict:
    """The same request by our client: what it gets without a retry, with retries, and after how long."""
    once, _ = status(endpoint.client(), endpoint, QUESTION, temperature=0)
    started = time.monotonic()
    code, text = status(endpoint.client(RETRIES), endpoint, QUESTION, temperature=0)
    seconds = round(time.monotonic() - started, 1)
    return {"without a retry": once, "with retries": code, "answered": code == 200 and bool(text), "seconds": seconds}
