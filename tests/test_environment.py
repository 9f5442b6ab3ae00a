"""The check of the machine: rows for every trouble, and never an exception."""

import dataclasses
import json
import shutil
import socket
from collections import Counter

import pytest

from helpers import environment, profile
from helpers.run import Run

SECRET = "hf_never_print_this"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test leaves this machine, and none waits for a hub."""

    def refuse(*args, **kwargs):
        raise OSError("offline")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def chosen():
    return profile.load("cpu-smollm2")


def row(rows, part: str):
    """The one row whose name contains `part`."""
    (found,) = (r for r in rows if part in r.name)
    return found


def test_every_row_has_a_status_a_name_and_a_finding(chosen):
    rows = environment.checks(chosen)
    assert len(rows) >= 12
    assert {r.status for r in rows} <= {"OK", "WARN", "FAIL"}
    assert all(r.name and r.found for r in rows)
    assert all(r.advice for r in rows if r.status != "OK"), "a row that is not OK says what to do"


def test_offline_is_a_warning_and_no_failure(chosen):
    rows = environment.checks(chosen)
    assert row(rows, "ModelScope").status == "WARN"
    assert row(rows, "Hugging Face").status == "WARN"


def test_a_check_that_breaks_becomes_a_warning_and_the_others_go_on(chosen, monkeypatch):
    def broken(folder):
        raise RuntimeError("no such drive")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    rows = environment.checks(chosen)
    assert [r.status for r in rows if "no such drive" in r.found] == ["WARN"]
    assert row(rows, "Python").status == "OK"


def test_a_full_disk_is_a_failure(chosen, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(2**33, 2**33, 0))
    assert row(environment.checks(chosen), "disk for outputs").status == "FAIL"


def test_a_busy_port_is_a_warning(chosen):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        rows = environment.checks(dataclasses.replace(chosen, serve={**chosen.serve, "server_port": port}))
    assert row(rows, f"port {port}").status == "WARN"


def test_the_token_is_noticed_and_never_shown(chosen, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    rows = environment.checks(chosen)
    assert row(rows, "licence").status == "OK"
    assert SECRET not in environment.show(rows)


def test_flash_attention_is_a_failure_only_where_the_profile_asks_for_it(chosen):
    if row(environment.checks(chosen), "flash-attn").found == "installed":
        pytest.skip("flash-attn is installed here")
    assert row(environment.checks(chosen), "flash-attn").status == "OK"
    assert row(environment.checks(profile.load("h100-llama3.1-8b")), "flash-attn").status == "FAIL"


def test_every_profile_has_a_row_and_the_rehearsal_runs_everywhere(chosen):
    rows = environment.checks(chosen)
    assert row(rows, "profile cpu-smollm2").status == "OK"
    assert {n for n in profile.names() if row(rows, f"profile {n}")} == set(profile.names())


def test_a_package_of_another_version_is_noticed(chosen, monkeypatch):
    real = environment.version
    monkeypatch.setattr(environment, "version", lambda name: "0.0.1" if name == "ms-swift" else real(name))
    assert [r.status for r in environment.checks(chosen) if "0.0.1" in r.found] == ["WARN"]


def test_show_aligns_the_rows():
    rows = [environment.Check("OK", "a", "first"), environment.Check("WARN", "longer", "second", "do this")]
    first, second = [line for line in environment.show(rows).splitlines() if line.startswith("[")]
    assert first.startswith("[OK]   a ")
    assert first.index("first") == second.index("second")
    assert "-> do this" in environment.show(rows)


def test_build_writes_the_rows_and_counts_them(tmp_path, chosen):
    results = environment.build(Run(chosen, tmp_path), tmp_path)
    rows = json.loads((tmp_path / "checks.json").read_text(encoding="utf-8"))
    counted = Counter(r["status"] for r in rows)
    assert results["counts"] == {s: counted[s] for s in ("OK", "WARN", "FAIL")}
    json.dumps(results)
