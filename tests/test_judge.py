"""The judge against a scripted HTTP server: what is asked, what is retried, what is refused, and that no key leaks."""

import json
import logging
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nbclient
import nbformat
import pytest
from nltk.metrics.agreement import AnnotationTask

from helpers import openai_http
from helpers.errors import UserError
from helpers.evaluation import agreement, judge, pairwise, rubric
from helpers.evaluation.judge import Judge
from helpers.profile import ROOT

KEY = "sk-a-secret-that-must-not-leak"
GOOD = {"reason": "接住了情绪", "professionalism": 2, "empathy": 3, "usefulness": 1, "fluency": 3}
TURN = [{"role": "system", "content": "系统提示"}, {"role": "user", "content": "我又失眠了。"}]
SOON = {"retry-after-ms": "1"}


def completion(text) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return json.dumps(body, ensure_ascii=False).encode()


@contextmanager
def scripted(*replies, **how):
    """A server that gives these replies in turn, the last one for ever: a text, (status, body), bytes, a function."""
    seen, lock = [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                seen.append(body | {"authorization": self.headers["authorization"]})
                said = replies[min(len(seen), len(replies)) - 1]
            said = said(body) if callable(said) else said
            if isinstance(said, float):
                time.sleep(said)
                said = json.dumps(GOOD)
            status, out = said if isinstance(said, tuple) else (200, said)
            out = out if isinstance(out, bytes) else completion(out)
            self.send_response(status)
            for name, value in {"content-type": "application/json", "content-length": str(len(out)), **SOON}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(out)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Judge(f"http://127.0.0.1:{server.server_port}/v1", "a-judge", KEY, **how), seen
    finally:
        server.shutdown()
        server.server_close()


def ask(one: Judge) -> dict:
    return judge.ask(one, rubric.prompt(TURN, "听起来你很累。"), rubric.Ratings)


def error(status: int) -> tuple[int, bytes]:
    return status, json.dumps({"error": {"message": f"no, {KEY}"}}).encode()


def test_a_good_answer_is_asked_for_in_form_and_read():
    with scripted(json.dumps(GOOD)) as (one, seen):
        assert ask(one) == {"answer": GOOD, "status": "answered", "attempts": 1, "retries": 0}
    schema = seen[0]["response_format"]["json_schema"]["schema"]
    assert set(schema["required"]) == {"reason", *rubric.AXES} and schema["additionalProperties"] is False
    assert seen[0]["authorization"] == f"Bearer {KEY}" and seen[0]["temperature"] == 0
    asked = seen[0]["messages"][1]["content"]
    assert "来访者：我又失眠了。" in asked and "【待评回复】\n听起来你很累。" in asked and "系统提示" not in asked


def test_the_scales_have_four_anchors_each_and_stand_in_the_prompt():
    for name, *anchors in rubric.AXES.values():
        assert len(anchors) == 4 and all(text in rubric.SYSTEM for text in (name, *anchors))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status):
    with scripted(error(status), error(status), json.dumps(GOOD)) as (one, seen):
        found = ask(one)
    assert (found["status"], found["retries"], len(seen)) == ("answered", 2, 3)


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_stays_busy_is_given_up_and_counted(status):
    with scripted(error(status), retries=2) as (one, seen):
        found = ask(one)
    assert found["answer"] is None and found["status"].startswith("failed: no answer") and found["retries"] == 2
    assert len(seen) == 3 and KEY not in json.dumps(found)


def test_a_slow_server_times_out():
    with scripted(0.8, timeout=0.2, retries=1) as (one, seen):
        assert ask(one)["status"] == "failed: no answer (APITimeoutError)"
    assert len(seen) == 2


def test_a_server_that_is_down_is_given_up():
    found = ask(Judge("http://127.0.0.1:9/v1", "m", KEY, retries=0))
    assert found["status"] == "failed: no answer (APIConnectionError)"


@pytest.mark.parametrize(
    "text",
    [
        "我觉得这个回复很好，可以给三分。",
        '{"reason": "好", "empathy": 3',
        json.dumps(GOOD | {"empathy": 5}),
        json.dumps(GOOD | {"empathy": "3"}),
        json.dumps(GOOD | {"kindness": 3}),
        json.dumps({k: v for k, v in GOOD.items() if k != "fluency"}),
        "",
        None,
        b"not json",
        b'{"choices": []}',
        completion("好")[:-12] + b"\xe5\xa5",
        b'{"choices": [{"message": {"content": "\\u597d\\ud83d"}}]}',  # half an emoji, which no request can carry
    ],
)
def test_what_is_not_in_form_is_asked_again_and_then_counted(text):
    with scripted(text, json.dumps(GOOD)) as (one, seen):
        found = ask(one)
    assert (found["status"], found["attempts"]) == ("answered", 2)
    assert "格式不对" in seen[1]["messages"][-1]["content"]
    with scripted(text) as (one, seen):
        found = ask(one)
    assert found["answer"] is None and found["attempts"] == len(seen) == 3
    assert found["status"] == "failed: no answer in the form that was asked for"


def test_json_inside_prose_is_read():
    with scripted(f"理由如下。\n```json\n{json.dumps(GOOD)}\n```") as (one, _):
        assert ask(one)["attempts"] == 1


def test_a_server_without_schemas_is_asked_plainly():
    def plain(status):
        return lambda body: error(status) if "response_format" in body else json.dumps(GOOD)

    for status in (400, 422):
        with scripted(plain(status)) as (one, seen):
            assert ask(one)["status"] == "answered"
        assert len(seen) == 2
    with scripted(error(400)) as (one, seen):
        assert ask(one)["status"] == "failed: the endpoint refuses this request"
    assert len(seen) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_model_is_one_sentence_without_the_key(status):
    with scripted(error(status)) as (one, _), pytest.raises(UserError, match=f"refuses \\({status}\\)") as caught:
        ask(one)
    assert KEY not in str(caught.value)


def test_the_key_is_in_no_record_no_log_and_no_printed_judge(caplog, capfd, monkeypatch):
    monkeypatch.setenv("OPENAI_LOG", "debug")
    caplog.set_level(logging.DEBUG)
    rows = [{"id": "a/1", "talk": "a", "messages": TURN, "tuned": "嗯，我在听。"}]
    with scripted(error(429), "prose", json.dumps(GOOD)) as (one, _):
        ratings = judge.rate(one, rows, "tuned")
        record = json.dumps([ratings, judge.summary(ratings)], ensure_ascii=False)
    printed = "".join(capfd.readouterr())
    assert KEY not in record and KEY not in caplog.text and KEY not in printed and KEY not in repr(one)


def test_the_environment_names_the_judge(monkeypatch):
    for name in ("JUDGE_URL", "JUDGE_MODEL", "JUDGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert Judge.from_environment() is None
    monkeypatch.setenv("JUDGE_URL", "judge.example/v1")
    with pytest.raises(UserError, match="JUDGE_MODEL is not"):
        Judge.from_environment()
    monkeypatch.setenv("JUDGE_MODEL", "m")
    with pytest.raises(UserError, match="must begin with http"):
        Judge.from_environment()
    monkeypatch.setenv("JUDGE_URL", "https://judge.example/v1")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    assert Judge.from_environment() == Judge("https://judge.example/v1", "m", KEY)


def test_without_a_judge_nothing_is_judged():
    rows = [{"id": "a", "messages": TURN, "base": "嗯。", "tuned": "好。"}]
    ratings, choices = judge.rate(None, rows, "tuned"), pairwise.compare(None, rows)
    assert ratings[0]["scores"] is None and judge.summary(ratings)["status"] == {"not judged": 1}
    assert judge.summary(ratings)["axes"]["empathy"]["score"] is None
    assert choices[0]["better"] is None and pairwise.summary(choices)["score"] is None


TALKS = [{"id": f"t{i}", "messages": TURN, "tuned": f"回复{i}", "base": f"别的{i}"} for i in range(150)]


def test_a_judging_stopped_at_item_70_of_150_goes_on_at_71(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "AT_ONCE", 1)
    file, up = tmp_path / "opinions.sqlite", [True] * 70
    with scripted(lambda _: json.dumps(GOOD) if up and up.pop() else error(503), retries=0) as (one, seen):
        found = judge.summary(judge.rate(one, TALKS, "tuned", file))
        assert len(seen) == 70 + judge.GIVE_UP  # nobody waits for an endpoint that is gone
    assert found["turns"] == 70 and found["axes"]["empathy"] == {"score": 3.0, "low": 3.0, "high": 3.0, "n": 70}
    assert found["status"] == {
        "judged": 70,
        "failed: no answer (InternalServerError)": judge.GIVE_UP,
        judge.GONE: 150 - 70 - judge.GIVE_UP,
    }
    with scripted(json.dumps(GOOD)) as (other, seen):
        same = Judge(one.url, one.model, KEY)
        monkeypatch.setattr(Judge, "client", lambda self: openai_http.client(other.url, KEY, 20, 0))
        assert judge.summary(judge.rate(same, TALKS, "tuned", file))["status"] == {"judged": 150}
        asked = [s["messages"][1]["content"].rpartition("\n")[2] for s in seen]
        assert asked == [f"回复{i}" for i in range(70, 150)]
        judge.rate(same, TALKS, "tuned", file)
        assert len(seen) == 80
        judge.rate(Judge(one.url, "another", KEY), TALKS[:3], "tuned", file)
        assert len(seen) == 83
    assert KEY.encode() not in file.read_bytes()


def test_a_comparison_is_kept_as_well(tmp_path):
    with scripted(json.dumps({"reason": "好", "better": "甲"})) as (one, seen):
        first = pairwise.compare(one, TALKS[:4], file=tmp_path / "opinions.sqlite")
        assert pairwise.compare(one, TALKS[:4], file=tmp_path / "opinions.sqlite") == first and len(seen) == 8


def test_turns_are_rated_averaged_by_dialogue_and_failures_are_no_zeros():
    replies = ["好", "坏", "坏", "", None, "散文"]
    rows = [{"id": f"t/{i}", "talk": f"t{i // 2}", "messages": TURN, "tuned": r} for i, r in enumerate(replies)]

    def opinion(body):
        reply = body["messages"][1]["content"].rpartition("\n")[2]
        return "不好说" if reply == "散文" else json.dumps(GOOD | {"empathy": 3 if reply == "好" else 1})

    with scripted(opinion) as (one, _):
        ratings = judge.rate(one, rows, "tuned")
        assert ratings == judge.rate(one, rows, "tuned")
    assert [r["scores"] and r["scores"]["empathy"] for r in ratings] == [3, 1, 1, 0, None, None]
    found = judge.summary(ratings)
    assert found["axes"]["empathy"]["score"] == pytest.approx(5 / 4) and found["axes"]["empathy"]["n"] == 2
    assert found["turns"] == 4 and found["asked_again"] == 2 and found["retries"] == 0
    assert found["status"] == {
        "judged": 4,
        "failed: the model gave no reply": 1,
        "failed: no answer in the form that was asked for": 1,
    }


PAIRS = [{"id": i, "messages": TURN, "base": f"坏{i}", "tuned": f"好{i}"} for i in range(6)]


def better(body) -> str:
    first, second = (body["messages"][1]["content"].split(f"【{x}】\n")[1][0] for x in "甲乙")
    return json.dumps({"reason": "看得出", "better": "平" if first == second else "甲" if first == "好" else "乙"})


def test_the_better_reply_wins_in_both_orders():
    with scripted(better) as (one, seen):
        choices = pairwise.compare(one, [*PAIRS, {"id": "s", "messages": TURN, "base": "好", "tuned": "好"}])
    assert [c["better"] for c in choices] == ["tuned"] * 6 + ["tie"] and len(seen) == 12
    found = pairwise.summary(choices)
    assert found["wins"] == {"base": 0, "tuned": 6, "tie": 1} and found["contradicts"] == 0
    assert found["score"] == pytest.approx(100 * 6.5 / 7) and found["p"] == pytest.approx(2 / 2**6)


def test_a_judge_that_always_likes_the_first_place_only_makes_ties():
    with scripted(json.dumps({"reason": "好", "better": "甲"})) as (one, _):
        choices = pairwise.compare(one, PAIRS)
    found = pairwise.summary(choices)
    assert found["wins"]["tie"] == found["contradicts"] == 6 and found["score"] == 50 and found["p"] is None


def test_a_win_and_a_tie_win_and_a_failed_order_is_not_judged():
    answers = [json.dumps({"reason": "好", "better": x}) for x in ("乙", "平")]
    with scripted(*answers) as (one, _):
        assert pairwise.compare(one, PAIRS[:1])[0]["better"] == "tuned"
    with scripted(answers[0], "散文") as (one, _):
        choice = pairwise.compare(one, PAIRS[:1])[0]
    assert choice["better"] is None and choice["status"].startswith("failed")


FIRST, SECOND = [0, 1, 2, 3, 3, 2, 1, 0, 2, 2], [0, 2, 2, 3, 2, 2, 0, 1, 2, 3]


@pytest.mark.parametrize("power", [1, 2])
def test_weighted_kappa_is_nltks(power):
    data = [(coder, i, x) for coder, xs in (("a", FIRST), ("b", SECOND)) for i, x in enumerate(xs)]
    theirs = AnnotationTask(data=data, distance=lambda a, b: (abs(a - b) / 3) ** power).weighted_kappa()
    found = agreement.kappa(FIRST, SECOND, power)
    assert found["score"] == pytest.approx(theirs, abs=1e-6) and found["n"] == 10
    assert found["low"] < found["score"] < found["high"]


def test_kappa_of_full_none_and_undefined_agreement():
    assert agreement.kappa(FIRST, FIRST)["score"] == pytest.approx(1)
    assert agreement.kappa([0, 0, 3, 3], [0, 3, 0, 3])["score"] == pytest.approx(0)
    assert agreement.kappa([0, 3], [3, 0])["score"] == pytest.approx(-1)
    assert agreement.kappa([2, 2], [2, 2])["score"] is None and agreement.kappa([], [])["score"] is None
    with pytest.raises(ValueError, match="not pairs"):
        agreement.kappa([1], [1, 2])


def test_agreement_counts_what_both_have_scored():
    people = [{"id": i, "scores": dict.fromkeys(rubric.AXES, i)} for i in range(4)]
    model = [{"id": i, "scores": dict.fromkeys(rubric.AXES, i)} for i in range(1, 4)] + [{"id": 0, "scores": None}]
    found = agreement.by_axis(people, model)
    assert set(found) == set(rubric.AXES) and found["empathy"]["n"] == 3 and found["empathy"]["score"] == 1


PAGES = {
    "07_evaluate": ["35f73031", "57d7e408", "pairwise-cell"],
    "08_improve": ["improve-39", "improve-40-kappa"],
}
BEFORE = """
import pandas as pd
from pathlib import Path
from types import SimpleNamespace
from helpers.evaluation import agreement, comparison, judge, pairwise, report, rubric
from helpers.improvement import ratings
from helpers.profile import ROOT
settings = SimpleNamespace(sft={{"seed": 1}}, improve={{"ratings": "data/ratings.jsonl"}})
run = SimpleNamespace(root=Path({root!r}), profile=settings)
talks = {talks!r}
"""


@pytest.mark.parametrize("page", PAGES)
def test_pages_7_and_8_show_what_a_judge_said_and_never_its_key(page, monkeypatch, tmp_path):
    def opinion(body):
        compares = "better" in body["response_format"]["json_schema"]["schema"]["properties"]
        return json.dumps({"reason": "好", "better": "平"} if compares else GOOD)

    cells = nbformat.read(ROOT / "notebooks" / f"{page}.ipynb", 4).cells
    sources = [BEFORE.format(root=str(tmp_path), talks=TALKS[:3])] + [c.source for c in cells if c.id in PAGES[page]]
    assert len(sources) == len(PAGES[page]) + 1
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    with scripted(error(429), "散文", opinion) as (one, seen):
        for name, value in {"URL": one.url, "MODEL": one.model, "KEY": KEY}.items():
            monkeypatch.setenv(f"JUDGE_{name}", value)
        monkeypatch.setenv("OPENAI_LOG", "debug")
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = nbformat.writes(notebook)
    assert seen[-1]["authorization"] == f"Bearer {KEY}" and KEY not in shown
    assert KEY.encode() not in (tmp_path / "opinions.sqlite").read_bytes()
    outputs = ["".join(o.get("data", {}).get("text/plain", "") for o in c.outputs) for c in notebook.cells[1:]]
    assert "judged" in outputs[0] and "failed" not in outputs[0]
    assert ("judged': 3" if page.startswith("07") else "102") in outputs[-1]
