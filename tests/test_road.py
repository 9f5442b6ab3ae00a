"""The stages with the real tools, a tiny model: killed, carried on, merged, proven. A failure leaves only its log."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import helpers
from helpers import export, sft
from helpers.errors import UserError
from helpers.merge import predictions
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


def test_killed_in_the_middle_of_the_merge_nothing_runs_on_and_nothing_is_half_written(tiny):
    run = tiny.run
    run.require("sft")
    first = tiny.start("run", "export")
    deadline = time.monotonic() + 240
    while not any(run.root.glob(".05_export.*/model/*.safetensors")):
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()
        time.sleep(0.02)
    below = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not psutil.wait_procs(below, timeout=20)[1]
    assert not run.dir("export").exists() and hidden(run)
    run.require("export")
    assert run.is_fresh("export") and not hidden(run)


def test_the_merge_is_the_adapted_model_and_a_forgotten_adapter_is_seen(tiny):
    run = tiny.run
    run.require("export")
    record = run.record("export")
    saved = predictions.of(record["predictions"], predictions.SAVED)
    assert saved["prompts"] == export.PROMPTS >= 20 and record["weights"]["worst"] <= 1
    names = {f["file"] for f in record["files"]}
    assert "README.md" in names and not [n for n in names if n.endswith((".bin", ".pt", "args.json"))]
    assert sum(s["bytes"] for s in record["shards"]) > 0 and all(s["within_limit"] for s in record["shards"])
    base = tiny.root / "model"
    rows = predictions.rows(base, run.adapter, base, export.real_prompts(run, 1))
    with pytest.raises(UserError, match="its predictions differ"):
        predictions.refuse(predictions.summary(rows))


@contextlib.contextmanager
def changed(folder):
    """A folder in which a test spoils something; it is whole again afterwards."""
    with tempfile.TemporaryDirectory() as work:
        shutil.copytree(folder, Path(work) / "kept")
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
            shutil.copytree(Path(work) / "kept", folder)


def test_a_wrong_merge_is_refused_and_leaves_only_its_log(tiny, monkeypatch, tmp_path):
    """The real tool merges an adapter whose scale somebody has doubled."""
    run, command = tiny.run, export.export_command
    run.require("sft")
    shutil.rmtree(run.dir("export"), ignore_errors=True)
    twice = shutil.copytree(run.adapter, tmp_path / "adapter")
    config = json.loads((twice / "adapter_config.json").read_text())
    (twice / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 2 * config["lora_alpha"]}))
    swap = {str(run.adapter): twice}
    monkeypatch.setattr(export, "export_command", lambda r, out: [swap.get(str(x), x) for x in command(r, out)])
    with pytest.raises(UserError, match=r"not base \+ adapter: the adapter is in the merged weights 2 to 2 times"):
        run.require("export")
    assert not run.dir("export").exists() and not hidden(run)
    assert [p.name for p in (run.root / "05_export.failed").iterdir()] == ["export.log"]


def test_files_that_are_cut_off_gone_or_foreign_stop_the_merge_before_it_begins(tiny):
    run, base = tiny.run, tiny.root / "model"
    run.require("sft")
    shutil.rmtree(run.dir("export"), ignore_errors=True)

    def refused(says):
        with pytest.raises(UserError, match=says):
            run.require("export")
        assert not run.dir("export").exists() and not hidden(run) and not (run.root / "05_export.failed").exists()

    shutil.rmtree(run.root / "05_export.failed", ignore_errors=True)
    for folder, file in ((base, "model.safetensors"), (run.adapter, "adapter_model.safetensors")):
        with changed(folder):
            os.truncate(folder / file, (folder / file).stat().st_size - 1000)
            refused(f"{file} is cut off")
            (folder / file).unlink()
            refused("no weights" if folder == base else "is no adapter .no adapter_model")
    with changed(base):
        (base / "tokenizer.json").unlink()
        refused("holds no tokenizer")
    with changed(run.adapter):
        file = run.adapter / "adapter_config.json"
        file.write_text(file.read_text().replace(str(base), "/models/somebody-elses"))
        refused("belongs to another base model: it was trained on /models/somebody-elses")


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 6 MB; where no disk can be mounted, one file alone may not be larger than 6 MB."""
    disk, size = tmp_path / "disk", 6 * 2**20
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if mounted.returncode:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    yield disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if not mounted.returncode:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_is_full_in_the_middle_of_the_merge_is_one_sentence(tiny, monkeypatch, small_disk):
    tiny.run.require("sft")
    run = type(tiny.run)(tiny.run.profile, small_disk / "tiny")
    run.root.mkdir()
    for stage in ("data", "sft"):
        run.dir(stage).symlink_to(tiny.run.dir(stage))
    monkeypatch.setitem(STAGES, "export", replace(STAGES["export"], free_gib=0))
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(UserError, match=r"the disk is full: .* nothing was kept, .*05_export\.failed/export\.log"):
        run.require("export")
    assert not run.dir("export").exists() and not hidden(run)
    assert set(psutil.Process().children(recursive=True)) <= before


FILLER = """
def build(run, work):
    (work / "made.log").write_text("made")
    return {"long": "0" * 7 * 2**20}
"""


@pytest.mark.parametrize("resumes", [False, True])
def test_a_disk_that_is_full_when_the_record_is_written_is_one_sentence(
    tiny, monkeypatch, small_disk, tmp_path, resumes
):
    (tmp_path / f"filler_{resumes}.py").write_text(FILLER)
    monkeypatch.setattr(helpers, "__path__", [*helpers.__path__, str(tmp_path)])
    stage = replace(STAGES["environment"], module=f"filler_{resumes}", free_gib=0, resumes=resumes)
    monkeypatch.setitem(STAGES, "environment", stage)
    run = type(tiny.run)(tiny.run.profile, small_disk / "tiny")
    with pytest.raises(UserError, match=r"the disk is full: 01_environment could not be written to .*; .* run again"):
        run.require("environment")
    assert not run.dir("environment").exists() and bool(hidden(run)) == resumes
    assert not run.is_fresh("environment")


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
