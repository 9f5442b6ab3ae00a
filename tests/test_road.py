"""The stages with the real tools, a tiny model: killed, carried on, merged, proven. A failure leaves only its log."""

import json
import os
import shutil
import signal
import time

import pytest

from helpers import export, sft
from helpers.errors import UserError
from helpers.run import STAGES


def hidden(run):
    return [p for p in run.root.glob(".*") if p.is_dir()]


def test_killed_in_the_middle_of_training_then_carried_on(tiny):
    run = tiny.run
    first = tiny.start("run", "sft")
    deadline = time.monotonic() + 240
    while not any(run.root.glob(".03_sft.*/swift/checkpoint-4/trainer_state.json")):
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not run.dir("sft").exists() and hidden(run)  # nothing half-written; its checkpoints are kept
    code, out, err = tiny.call("run", "sft", "--json")
    assert code == 0, err
    record = json.loads(out)[0]  # progress went elsewhere
    assert record["steps"] == 12 and record["sessions"][-1]["from_step"] >= 4
    assert run.is_fresh("sft") and not hidden(run)


def test_a_second_run_repeats_nothing(tiny):
    run = tiny.run
    run.require("sft")
    before = run.record("sft")["started"]
    assert tiny.call("run", "sft")[0] == 0
    assert run.record("sft")["started"] == before


def test_training_left_what_the_record_says(tiny):
    run = tiny.run
    run.require("sft")
    record = run.record("sft")
    assert record["adapter_bytes"] == (run.adapter / "adapter_model.safetensors").stat().st_size
    assert [r["step"] for r in record["train_log"]] == list(range(1, 13))
    assert record["eval_loss_before"] > 0 and record["eval_loss_after"] > 0
    assert "resume_from_checkpoint" not in (run.dir("sft") / "sft.yaml").read_text()
    assert any(run.dir("sft").rglob("swanlog"))


def test_the_merge_is_the_adapted_model_and_a_forgotten_adapter_is_seen(tiny):
    run = tiny.run
    run.require("export")
    record = run.record("export")
    assert record["same_next"] == record["prompts"] > 0 and record["max_abs_diff"] < 1e-3
    names = {f["file"] for f in record["files"]}
    assert "README.md" in names and not [n for n in names if n.endswith((".bin", ".pt", "args.json"))]
    base = tiny.root / "model"
    rows = export.compare_logits(base, run.adapter, base, export.real_prompts(run, 3))
    assert max(r["max_abs_diff"] for r in rows) > 10 * record["max_abs_diff"]


def test_a_merge_that_differs_is_refused_and_leaves_only_its_log(tiny, monkeypatch):
    run = tiny.run
    run.require("export")
    shutil.rmtree(run.dir("export"))
    monkeypatch.setattr(export, "compare_logits", lambda *a: [{"max_abs_diff": 9.0, "max_kl": 3.0, "same_next": False}])
    with pytest.raises(UserError, match=r"not base \+ adapter.*05_export\.failed/export\.log"):
        run.require("export")
    assert not run.dir("export").exists() and not hidden(run)
    assert [p.name for p in (run.root / "05_export.failed").iterdir()] == ["export.log"]


def test_no_disk_space_is_one_sentence(tiny, monkeypatch, tmp_path):
    run = type(tiny.run)(tiny.run.profile, tmp_path / "outputs")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 2**20))
    with pytest.raises(UserError, match=r"02_data needs 0.5 GiB of disk .* 0.0 GiB free"):
        run.require("data")
    assert not run.dir("data").exists() and not hidden(run)


def test_a_swift_that_fails_is_one_sentence_that_names_its_log(tiny, tmp_path):
    profile = tiny.run.profile
    broken = type(profile)(**{**vars(profile), "sft": profile.sft | {"learning_rate": "fast"}})
    run = type(tiny.run)(broken, tmp_path / "outputs")
    with pytest.raises(UserError, match=r"swift sft .*failed \(exit 2\): .*invalid float value.*sft\.log"):
        run.require("sft")
    assert not run.dir("sft").exists()


def test_a_log_read_twice_counts_a_step_once(tmp_path):
    rows = [("3/6", "loss"), ("4/6", "loss"), ("4/6", "loss"), ("4/6", "eval_loss"), ("6/6", "train_runtime")]
    text = "".join(json.dumps({k: 1.0, "global_step/max_steps": step}) + "\n" for step, k in rows)
    (tmp_path / "logging.jsonl").write_text(text)
    assert [(r["step"], "loss" in r) for r in sft.read_log(tmp_path / "logging.jsonl")] == [
        (3, True),
        (4, True),
        (4, False),
    ]


def test_every_stage_names_a_notebook_and_needs_only_earlier_ones():
    folders = [s.folder for s in STAGES.values()]
    assert folders == sorted(folders)
    for stage in STAGES.values():
        assert all(STAGES[n].folder < stage.folder for n in stage.needs)
