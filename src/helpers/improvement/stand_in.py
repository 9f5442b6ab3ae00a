"""A stand-in for an endpoint: a small HTTP server that says what a file tells it to. It is no model, and says so.

It speaks the OpenAI format, so that the code that talks to a real endpoint can be rehearsed without one.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import openai_http
from ..structured import Model

NAME = "a script, no model"


def lines(file: Path) -> dict[tuple[str, str], list[str]]:
    """What the file says for each cell of the grid, in order: rows of `topic`, `feeling`, `says`."""
    by = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        by[row["topic"], row["feeling"]].append(row["says"])
    return dict(by)


@contextmanager
def serve(file: Path) -> Iterator[Model]:
    """Answer with the file's lines on a free port of this machine while the block runs.

    A cell's lines come one after the other, and the last one again; a cell that is not in the file gets a sentence.
    """
    script, said, lock = lines(file), defaultdict(int), threading.Lock()

    def answer(asked: dict, _) -> tuple[int, dict]:
        text = asked["messages"][1]["content"]
        cell = next((c for c in script if f"主题：{c[0]}\n感受：{c[1]}（" in text), None)
        if cell is None:
            return 200, openai_http.completion(NAME, "这个我没有准备。")
        with lock:
            says = script[cell][min(said[cell], len(script[cell]) - 1)]
            said[cell] += 1
        return 200, openai_http.completion(NAME, says)

    with openai_http.served(answer) as url:
        yield Model(url, NAME, purpose="SYNTHESIS")
