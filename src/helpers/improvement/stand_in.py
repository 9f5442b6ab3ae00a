"""A stand-in for an endpoint: a small HTTP server that says what a file tells it to. It is no model, and says so.

It speaks the OpenAI format, so that the code that talks to a real endpoint can be rehearsed without one.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][1]["content"]
            cell = next((c for c in script if f"主题：{c[0]}\n感受：{c[1]}（" in asked), None)
            with lock:
                text = script[cell][min(said[cell], len(script[cell]) - 1)] if cell else "这个我没有准备。"
                said[cell] += 1
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": NAME, "choices": [choice]}
            out = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        def log_message(self, *_):
            """A page shows what is written to stderr in red."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Model(f"http://127.0.0.1:{server.server_port}/v1", NAME, purpose="SYNTHESIS")
    finally:
        server.shutdown()
        server.server_close()
