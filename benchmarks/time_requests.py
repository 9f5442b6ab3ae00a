"""Time the evaluation's way of asking against the same loop written sequentially: `python benchmarks/time_requests.py`.

Serves the model of the profile in force twice and asks the same prompts for answers of one length: one request at a
time, then as many at once as the evaluation does. The order is swapped in the second round. Writes `requests.json`
beside this file, with the machine, the time and its load.
"""

import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from helpers import models, serving
from helpers.evaluation import asking, testset
from helpers.machine import machine
from helpers.profile import ROOT, resolve

PROMPTS, TOKENS = 16, 32  # a small sample: two rounds of both ways take about two minutes on two cores


def sequential(endpoint: serving.Endpoint, prompts: list[list[dict]]) -> float:
    """Seconds of the loop that everybody writes first."""
    client, started = endpoint.client(), time.monotonic()
    for messages in prompts:
        client.chat.completions.create(model=endpoint.model, messages=messages, temperature=0, **SAME)
    return time.monotonic() - started


def concurrent(endpoint: serving.Endpoint, prompts: list[list[dict]]) -> float:
    """Seconds of the same requests, `asking.AT_ONCE` in flight."""
    client, started = endpoint.client(), time.monotonic()
    with asking.ThreadPool(asking.AT_ONCE) as pool:
        pool.map(
            lambda m: client.chat.completions.create(model=endpoint.model, messages=m, temperature=0, **SAME),
            prompts,
            chunksize=1,
        )
    return time.monotonic() - started


SAME = {"max_tokens": TOKENS, "extra_body": {"ignore_eos": True}}  # answers of one length, whatever the model says


def main() -> None:
    """Measure both ways twice, print and write the record."""
    profile = resolve()
    rows = testset.load(ROOT / profile.eval["safety"])[:PROMPTS]
    prompts = [testset.opening(row["prompt"], profile.sft["system"]) for row in rows]
    ways, seconds = [sequential, concurrent], {"sequential": [], "concurrent": []}
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        with serving.serve(models.fetch(profile.model), profile.serve, Path(folder) / "server.log") as endpoint:
            concurrent(endpoint, prompts[: asking.AT_ONCE])  # the first requests load what is lazy
            for order in (ways, ways[::-1]):
                for way in order:
                    seconds[way.__name__].append(round(way(endpoint, prompts), 1))
                    print(way.__name__, seconds[way.__name__][-1], file=sys.stderr)
            engine = endpoint.engine
    per_second = {way: round(2 * PROMPTS / sum(found), 2) for way, found in seconds.items()}
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "load_before": round(before, 2),
        "machine_was": "quiet" if before < 0.5 else "busy",
        "profile": profile.name,
        "engine": engine,
        "requests": PROMPTS,
        "tokens_each": TOKENS,
        "at_once": asking.AT_ONCE,
        "seconds": seconds,
        "requests_per_second": per_second,
        "times_faster": round(per_second["concurrent"] / per_second["sequential"], 1),
    }
    text = json.dumps(record, indent=1)
    (Path(__file__).parent / "requests.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
