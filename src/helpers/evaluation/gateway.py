"""A door for programs that ask for themselves, EvalScope here: their requests go through an `Asker`.

So they share its file of answers and its patience, and the endpoint's key never reaches them, their command line or
what they write. It listens on 127.0.0.1 and opens to a password of its own, new each time.
"""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..errors import UserError
from .asking import Asker, NoAnswer

PASSED_ON = ("max_tokens", "temperature")  # of a request; with greedy decoding nothing else changes an answer


@contextmanager
def opened(asker: Asker) -> Iterator[tuple[str, str]]:
    """Serve `/v1/chat/completions` while the block runs; gives the address and the password (an OpenAI API key)."""
    password = secrets.token_hex(16)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.headers["authorization"] != f"Bearer {password}":
                return self.send(401, _error("another password is needed"))
            try:
                parameters = {name: asked[name] for name in PASSED_ON if name in asked}
                text = asker.reply(asked["messages"], **parameters)
            except (NoAnswer, UserError) as error:
                return self.send(400, _error(str(error)))  # 400: all retries are spent, nobody should ask again
            self.send(200, _completion(asker.model, text))

        def send(self, status: int, body: dict) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", password
    finally:
        server.shutdown()
        server.server_close()


def _error(says: str) -> dict:
    return {"error": {"message": says, "type": "invalid_request_error"}}


def _completion(model: str, text: str) -> dict:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)  # an answer from the file has none
    return {
        "id": "kept",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }
