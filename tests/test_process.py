"""Child processes: they end with their owner, however it ends, and a failure is one sentence."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from helpers import process
from helpers.errors import UserError

# A parent that starts a child, as `swift sft` does, and writes the child's process id.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""


def pid_in(file):
    deadline = time.monotonic() + 20
    while not (file.is_file() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(file.read_text())


def gone(pid, seconds=15):
    try:
        psutil.Process(pid).wait(timeout=seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_leaving_the_block_ends_the_grandchild(tmp_path):
    with process.background([sys.executable, "-c", PARENT, tmp_path / "pid"], tmp_path / "log"):
        pid = pid_in(tmp_path / "pid")
        assert psutil.pid_exists(pid)
    assert gone(pid)


def test_killing_the_owner_ends_the_grandchild(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from helpers import process\n"
        f"with process.background([sys.executable, '-c', {PARENT!r}, sys.argv[1]], Path(sys.argv[2])): time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, tmp_path / "pid", tmp_path / "log"])
    pid = pid_in(tmp_path / "pid")
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert gone(pid)


def test_a_failure_names_the_error_and_the_log(tmp_path):
    with pytest.raises(UserError, match=r"exit 1.*ValueError: too dark.*log"):
        process.run([sys.executable, "-c", "raise ValueError('too dark')"], tmp_path / "log")


def test_a_finished_command_says_what_it_cost(tmp_path):
    done = process.run([sys.executable, "-c", "import time; x = 'x' * 30_000_000; time.sleep(1.2)"], tmp_path / "log")
    assert done.seconds > 1 and done.peak_rss > 30_000_000


def test_watch_ends_the_command_without_an_error(tmp_path):
    done = process.run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", watch=lambda: True)
    assert done.seconds < 30
