"""Both ends of an OpenAI-compatible endpoint: a client that asks again by itself, a small server on this machine."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai


def client(url: str, key: str | None, timeout: float, retries: int) -> openai.OpenAI:
    """A client that asks again by itself, later each time and as `Retry-After` says; `timeout` in seconds."""
    near = any(host in url for host in ("//127.0.0.1", "//localhost"))  # a proxy cannot reach this machine
    http = openai.DefaultHttpxClient(trust_env=not near)
    return openai.OpenAI(base_url=url, api_key=key or "none", timeout=timeout, max_retries=retries, http_client=http)


@contextmanager
def served(answer: Callable[[dict, str | None], tuple[int, dict]]) -> Iterator[str]:
    """Answer chat requests on a free port of 127.0.0.1 while the block runs; gives the address, with `/v1`.

    Args:
        answer: from a request's body and its `Authorization` header to a status and a body. Threads call it.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, body = answer(asked, self.headers["authorization"])
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            """A page shows what is written to stderr in red."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def whole(text: str) -> str:
    """A text without halves of characters: a JSON escape may hold one, and it becomes U+FFFD, the mark for it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def completion(model: str, text: str) -> dict:
    """The body of a chat completion. Tokens are not counted: they stand there as 0."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
    about = {"id": "local", "object": "chat.completion", "created": 0, "model": model}
    return about | {"choices": [choice], "usage": usage}
