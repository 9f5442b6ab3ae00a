"""An endpoint that misbehaves in every way: asked again where that helps, counted, shown, never a crash or a zero."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers.errors import UserError
from helpers.evaluation import asking, testset
from helpers.evaluation.answers import Answers
from helpers.evaluation.asking import Asker, NoAnswer

KEY = "sk-of-the-endpoint-7Hq2"
ASK = [{"role": "user", "content": "我睡不着。"}]
GOOD = "听起来你很累。"


def completion(text) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def refusal(status: int) -> tuple[int, bytes]:
    return status, json.dumps({"message": f"your key {KEY} is not welcome"}).encode()


@contextmanager
def scripted(*replies, headers=(), slow: float = 0, cut: int = 0):
    """A server that gives these replies (a body, or a status and a body) in turn, the last one for ever.

    Args:
        slow: seconds before the first reply.
        cut: bytes of the first reply that never arrive.
    """
    seen, lock = [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                seen.append({"body": asked, "at": time.monotonic()})
                place = len(seen) - 1
            if slow and not place:
                time.sleep(slow)
            reply = replies[min(place, len(replies) - 1)]
            reply = reply(asked) if callable(reply) else reply
            status, body = reply if isinstance(reply, tuple) else (200, reply)
            self.send_response(status)
            for name, value in (*headers, ("content-type", "application/json"), ("content-length", len(body))):
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body[: len(body) - cut] if not place else body)
            self.close_connection = True

        def log_message(self, *_):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):  # a client that has stopped waiting
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def asker(tmp_path):
    def make(url: str, **how) -> Asker:
        how = {"retries": 2, "pause": 0, "timeout": 20} | how
        return Asker(url, "m", "who", Answers(tmp_path / "answers.sqlite"), KEY, **how)

    return make


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_in_trouble_is_asked_again(asker, status):
    with scripted(refusal(status), completion(GOOD)) as (url, seen):
        one = asker(url)
        assert one.reply(ASK, max_tokens=8) == GOOD
    assert len(seen) == 2 and one.counts["retries"] == 1 and one.trouble()["failures"] == {}


def test_a_busy_server_is_asked_again_when_it_says(asker):
    with scripted(refusal(429), completion(GOOD), headers=[("Retry-After", "1.2")]) as (url, seen):
        assert asker(url).reply(ASK) == GOOD
    assert seen[1]["at"] - seen[0]["at"] >= 1.2


def test_a_slow_server_is_left_and_asked_again(asker):
    with scripted(completion("late"), completion(GOOD), slow=1.5) as (url, seen):
        assert asker(url, timeout=0.4).reply(ASK) == GOOD
    assert len(seen) == 2


NO_ANSWER = {
    "HTTP 200 without JSON": b'{"choices": [{"mess',
    "HTTP 200 with error_code 10402": b'{"error_code":10402,"text":"Failed to get response after a period of time"}',
    "HTTP 200 without an answer": b'{"choices": []}',
}


@pytest.mark.parametrize("reason", NO_ANSWER)
def test_what_only_looks_like_an_answer_is_asked_again_and_then_named(asker, reason):
    with scripted(NO_ANSWER[reason], completion(GOOD)) as (url, seen):
        one = asker(url)
        assert one.reply(ASK) == GOOD and one.counts["retries"] == 1
    with scripted(NO_ANSWER[reason]) as (url, seen):
        one = asker(url, again=True)
        with pytest.raises(NoAnswer, match=reason):
            one.reply(ASK)
    assert len(seen) == 3 and one.trouble() == {
        "answered": 0,
        "from_file": 0,
        "retries": 2,
        "empty": 0,
        "cut": 0,
        "failures": {reason: 1},
    }


def test_a_body_cut_in_the_middle_of_a_character_is_asked_for_again(asker):
    whole = json.dumps({"choices": [{"message": {"content": GOOD}}]}, ensure_ascii=False).encode()
    half = whole[: whole.index("听".encode()) + 1]
    with scripted(half, completion(GOOD)) as (url, _):  # a whole response, whose text is half
        one = asker(url)
        assert one.reply(ASK) == GOOD and one.counts["retries"] == 1
    with scripted(whole, cut=len(whole) - len(half)) as (url, seen):  # a connection that breaks
        one = asker(url, again=True)
        assert one.reply(ASK) == GOOD and one.counts["retries"] == 1 and len(seen) == 2


@pytest.mark.parametrize("text", ["累了\ufffd", "累了\ud83d"])
def test_an_answer_that_ends_in_half_a_character_is_kept_counted_and_the_same_from_the_file(asker, text):
    with scripted(completion(text)) as (url, _):
        one = asker(url)
        assert one.reply(ASK) == one.reply(ASK) == "累了\ufffd"
    assert (one.counts["cut"], one.counts["from_file"]) == (2, 1)


@pytest.mark.parametrize("text", ["", None, " \n"])
def test_an_empty_answer_is_an_answer_and_counted(asker, text):
    with scripted(completion(text)) as (url, seen):
        one = asker(url)
        assert one.reply(ASK) == (text or "") and one.counts["empty"] == 1 and len(seen) == 1


def test_a_refused_request_is_one_row_left_out_and_not_asked_again(asker):
    with scripted(refusal(400)) as (url, seen):
        one = asker(url)
        for _ in range(asking.GIVE_UP + 2):  # a set of prompts that are all too long is no endpoint that is gone
            with pytest.raises(NoAnswer, match="HTTP 400"):
                one.reply(ASK)
    assert len(seen) == asking.GIVE_UP + 2 and one.counts["retries"] == 0


@pytest.mark.parametrize(("status", "what"), [(401, "the key"), (403, "the key"), (404, "the model 'm'")])
def test_a_refused_key_or_model_is_one_sentence_without_the_key(asker, status, what):
    with scripted(refusal(status)) as (url, seen), pytest.raises(UserError, match=f"refuses {what}") as error:
        asker(url).reply(ASK)
    assert len(seen) == 1 and KEY not in str(error.value)


def rows(count: int) -> list[dict]:
    return [{"part": "dialogue", "id": f"d{i}", "messages": testset.opening(f"问{i}", "系统")} for i in range(count)]


def test_500_in_the_middle_leaves_out_that_row_and_no_other(asker):
    def reply(asked):
        said = asked["messages"][-1]["content"]
        return refusal(500) if said == "问4" else completion(said)

    some = rows(9)
    with scripted(reply) as (url, _):
        one = asker(url, retries=1)
        lost = asking.ask_all(some, "base", one, 8)
    assert lost == {"d4": "HTTP 500"} and [r["base"] for r in some] == [*(f"问{i}" for i in range(4)), None] + [
        f"问{i}" for i in range(5, 9)
    ]
    assert one.trouble() == {
        "answered": 8,
        "from_file": 0,
        "retries": 1,
        "empty": 0,
        "cut": 0,
        "failures": {"HTTP 500": 1},
    }


def test_an_endpoint_that_is_down_is_one_sentence(asker):
    with pytest.raises(UserError, match=r"failed \d+ times in a row \(at last: no connection\). 0 answers are kept"):
        asking.ask_all(rows(40), "base", asker("http://127.0.0.1:9/v1", retries=0), 8)


def test_a_run_stopped_at_item_70_of_150_goes_on_at_71(asker, monkeypatch):
    monkeypatch.setattr(asking, "AT_ONCE", 1)
    some, up = rows(150), [True] * 70
    with scripted(lambda asked: completion("好") if up and up.pop() else refusal(503)) as (url, seen):
        with pytest.raises(UserError, match="70 answers are kept"):
            asking.ask_all(some, "base", asker(url, retries=0), 8)
        assert len(seen) == 70 + asking.GIVE_UP
    with scripted(completion("好")) as (url, seen):
        one = asker(url)
        assert asking.ask_all(some, "base", one, 8) == {}
        assert [s["body"]["messages"][-1]["content"] for s in seen] == [f"问{i}" for i in range(70, 150)]
        assert (one.counts["answered"], one.counts["from_file"]) == (80, 70)
        assert asking.ask_all(some, "base", asker(url), 9) == {}  # other parameters, other answers
        assert len(seen) == 230
    assert asking.ask_all(some, "base", asker("http://127.0.0.1:9/v1"), 8) == {}  # all is kept: nobody is asked
