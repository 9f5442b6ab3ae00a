"""Two real servers behind LMDeploy's real proxy; and a scripted server for what the proxy says when a worker dies."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import openai
import pytest

from helpers import profile
from helpers.errors import UserError
from helpers.serving import Endpoint, failover, proxy, status, stream
from helpers.serving.client import hidden_status
from helpers.serving.server import free_port

pytestmark = pytest.mark.usefixtures("nothing_left")
DEAD = '{"error_code":10402,"text":"Failed to get response after a period of time"}\n'
REFUSED = json.dumps({"object": "error", "message": "too long", "code": 400, "type": "invalid_request_error"})
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "好"}}
ANSWER = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [CHOICE]})
DONE = "data: [DONE]\n\n"


def piece(text, finish=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    body = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"


@pytest.fixture
def scripted():
    """An endpoint that gives one body after the other, each with "200 OK", as the proxy does."""
    bodies, seen = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append(asked)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
            self.end_headers()
            self.wfile.write(bodies.pop(0).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "m", "scripted"), bodies, seen
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("body", "means"),
    [
        (DEAD, 503),
        (REFUSED, 400),
        (ANSWER, None),
        (piece("好"), None),
        ('{"error_code', None),
        ("[]", None),
        ("", None),
    ],
)
def test_what_a_body_of_a_200_means(body, means):
    assert hidden_status(body.encode()) == means


def test_the_openai_package_alone_takes_the_error_for_an_answer(scripted):
    endpoint, bodies, _ = scripted
    bodies += [DEAD]
    assert failover.as_the_package_sees_it(endpoint) == "no exception, and choices is None"


def test_our_client_sees_the_503_and_asks_again(scripted):
    endpoint, bodies, seen = scripted
    bodies += [DEAD, DEAD, ANSWER]
    assert status(endpoint.client(), endpoint, "你好") == (503, "Failed to get response after a period of time")
    assert status(endpoint.client(retries=2), endpoint, "你好") == (200, "好") and len(seen) == 3


def test_a_workers_refusal_is_not_repeated(scripted):
    endpoint, bodies, seen = scripted
    bodies += [REFUSED]
    assert status(endpoint.client(retries=3), endpoint, "你好") == (400, "too long") and len(seen) == 1


def test_a_stream_that_never_began_is_an_error_and_one_that_did_is_whole(scripted):
    endpoint, bodies, _ = scripted
    bodies += [DEAD, piece("好") + piece("的", "stop") + DONE]
    with pytest.raises(openai.InternalServerError):
        list(stream(endpoint, "你好", "系统"))
    assert list(stream(endpoint, "你好", "系统")) == ["好", "的"]


@pytest.mark.parametrize("rest", ["", DEAD, DONE])
def test_a_stream_that_breaks_off_is_not_taken_for_a_short_answer(scripted, rest):
    endpoint, bodies, _ = scripted
    bodies += [piece("好") + rest]
    with pytest.raises(UserError, match="broke off after piece 1"):
        list(stream(endpoint, "你好", "系统"))


@pytest.fixture
def options():
    return profile.load("cpu-smollm2").serve | {"server_port": free_port()}


def test_several_workers_are_never_open_to_a_network(tiny, tmp_path, options):
    with pytest.raises(UserError, match="127.0.0.1 alone"):
        with proxy.pool(tiny.root / "model", options | {"server_name": "0.0.0.0"}, 2, tmp_path, "key"):
            pass


def test_a_worker_dies_behind_the_real_proxy(tiny, tmp_path, options):
    table = Path(find_spec("lmdeploy").origin).parent / "serve" / "proxy" / "proxy_config.json"
    before = table.read_bytes() if table.exists() else None
    said = []
    with proxy.pool(tiny.root / "model", options, 2, tmp_path, "key", expiration=8) as pool:
        assert sorted(pool.nodes()) == sorted(w.url for w in pool.workers)
        assert failover.plain(pool.endpoint, "系统", 0, 4) == {"status": 200, "body": "an answer"}
        pool.workers[0].kill()
        got = failover.count([failover.plain(pool.endpoint, "系统", i, 4) for i in range(16)])
        lost = [g for g in got if g["body"] != "an answer"]
        assert lost and {g["status"] for g in got} == {200} and json.loads(lost[0]["body"])["error_code"] == 10402
        client = pool.endpoint.client(failover.RETRIES)
        assert [status(client, pool.endpoint, "你好", temperature=0)[0] for _ in range(4)] == [200] * 4
        with proxy.minded(pool, say=lambda text, **_: said.append(text)):
            while not said:
                threading.Event().wait(0.1)
        assert "killed by SIGKILL" in said[0] and "1 of 2 go on" in said[0]
        assert pool.nodes() == [pool.workers[1].url]
    assert (table.read_bytes() if table.exists() else None) == before
