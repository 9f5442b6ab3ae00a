"""A real `evalscope perf` against a live server, recorded runs in the same form, the knee."""

import json

import pytest

from helpers import profile, serving
from helpers.errors import UserError
from helpers.serving import budget, load, recorded
from helpers.serving.server import free_port

pytestmark = pytest.mark.usefixtures("nothing_left")
LEVELS = {1: 2, 2: 3}


def level(clients, speed, seconds):
    return dict(zip(recorded.COLUMNS, (clients, 4, speed, 0.1, 0.2, seconds, seconds), strict=True))


def prompts(tmp_path):
    rows = [{"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": "嗯"}]} for t in "你我他"]
    (tmp_path / "val.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert load.write_prompts(tmp_path / "val.jsonl", "你是倾听者。", tmp_path / "prompts.jsonl") == 3
    return tmp_path / "prompts.jsonl"


def test_evalscope_measures_a_live_server_level_by_level(tiny, tmp_path):
    options = profile.load("cpu-smollm2").serve | {"server_port": free_port()}
    with serving.serve(tiny.root / "model", options, tmp_path / "server.log", "key") as endpoint:
        test = load.sweep(endpoint, prompts(tmp_path), tmp_path / "load", tmp_path / "evalscope.log", LEVELS)
    assert test["what"] == serving.STAND_IN
    assert [(r["clients"], r["requests"]) for r in test["levels"]] == list(LEVELS.items())
    for row in test["levels"]:
        assert tuple(row) == recorded.COLUMNS
        assert 0 < row["first token p50, s"] <= row["first token p95, s"] < row["answer max, s"]
        assert row["tokens a second"] > 0
    request = (tmp_path / "load" / "parallel_2_number_3" / "benchmark_args.json").read_text()
    assert json.loads(request)["max_tokens"] == load.TOKENS


def test_a_server_that_is_not_there_is_one_sentence(tmp_path):
    gone = serving.Endpoint(f"http://127.0.0.1:{free_port()}/v1", "listener", "none")
    with pytest.raises(UserError, match="1 clients"):
        load.sweep(gone, prompts(tmp_path), tmp_path / "load", tmp_path / "evalscope.log", {1: 1})


def test_the_knee_is_where_more_clients_buy_little_for_their_wait():
    levels = [level(1, 10, 1.0), level(2, 19, 1.1), level(4, 36, 1.2), level(8, 60, 1.5), level(16, 62, 3.0)]
    assert load.knee(levels)["clients"] == 8


def synthetic(**changes):
    """In the form of the measuring kit; made up, for this test alone."""
    row = {
        "concurrency": 8,
        "requests": 16,
        "output_tokens_per_second": 512.5,
        "first_token_seconds": {"p50": 0.1, "p95": 0.2},
        "seconds_per_output_token": {"p50": 0.01},
        "request_seconds": {"median": 2.5, "max": 3.0},
        "memory_peak_gib": 70.0,
    }
    record = {
        "date": "2026-01-01T00:00:00+00:00",
        "device": "a GPU",
        "command": "lmdeploy serve api_server …",
        "backend": "turbomind",
        "cache_max_entry_count": 0.8,
        "status": "done",
        "memory_in_use_gib": {"ready": 66.6},
        "levels": [row, row | {"concurrency": 32, "output_tokens_per_second": 900.0}],
    }
    return record | changes


def test_a_recorded_run_is_shown_through_the_same_functions(tmp_path, monkeypatch):
    folder = tmp_path / "h100-llama3.1-8b"
    folder.mkdir()
    (folder / "tm.json").write_text(json.dumps(synthetic()))
    (folder / "sft.json").write_text(json.dumps({"what": "training"}))
    (run,) = recorded.runs("h100-llama3.1-8b", tmp_path)
    assert tuple(run["levels"][0]) == recorded.COLUMNS and run["levels"][1]["tokens a second"] == 900.0
    speed, first = load.curves([run])
    assert list(speed.lines[0].get_ydata()) == [512.5, 900.0] and len(first.lines) == 2
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    row = next(r for r in budget.table() if r["profile"] == "h100-llama3.1-8b")
    assert row["in use when ready, GiB"] == 66.6


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        (json.dumps({"levels": [{}]}), "is no load test"),
        (json.dumps({"levels": 1}), "is no load"),
    ],
)
def test_a_broken_record_is_one_sentence(tmp_path, text, says):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "x.json").write_text(text)
    with pytest.raises(UserError, match=says):
        recorded.runs("p", tmp_path)


def test_what_is_shipped_is_readable():
    for name in profile.names():
        for run in recorded.runs(name):
            assert run["device"] != "cpu" and run["levels"] and run["status"] == "done"
