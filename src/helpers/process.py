"""Child processes that never outlive the notebook, and whose log is kept."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from .errors import UserError
from .profile import ROOT


@dataclass(frozen=True)
class Finished:
    """What a finished command cost: wall-clock seconds, peak resident memory of its process tree in bytes."""

    seconds: float
    peak_rss: int


def shown(command: list) -> str:
    """The command as a reader would paste it into a terminal that stands in the repository."""
    text = shlex.join(str(c) for c in command)
    return text.replace(sys.executable, "python").replace(f"{ROOT}/", "").replace(f"{Path.home()}/", "~/")


def run(
    command: list, log: Path, env: dict | None = None, watch: Callable[[], bool] | None = None, cwd: Path | None = None
) -> Finished:
    """Run a command to its end, with stdout and stderr appended to `log`.

    Args:
        watch: called twice a second while the command runs; returning True stops the command, as Ctrl-C would.

    Raises:
        UserError: the command failed; the sentence names the log and its last line.
    """
    started, peak, stopped = time.monotonic(), 0, False
    with background(command, log, env, cwd) as child:
        while child.poll() is None:
            peak = max(peak, tree_rss(child.pid))
            if watch and watch():
                stopped = True
                break
            time.sleep(0.5)
    if child.returncode and not stopped:
        raise UserError(
            f"`{shown(command[:3])} …` failed (exit {child.returncode}): {last_error(log)} Whole log: {log}"
        )
    return Finished(time.monotonic() - started, peak)


@contextmanager
def background(command: list, log: Path, env: dict | None = None, cwd: Path | None = None):
    """Start a command in a process group of its own and end the whole group on leaving.

    The group also ends when this process dies, however it dies: a guard (`python -m helpers.process`) holds the other
    end of a pipe and sees it close. ms-swift needs this: `swift sft` is only the parent of the process that works.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # `swift` and `lmdeploy` lie beside this Python, also when its environment was not activated
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with open(log, "ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "helpers.process", *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path, **(env or {}), "PYTHONUNBUFFERED": "1"},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.stdin.close()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            pass
        with suppress(ProcessLookupError):  # the rest of the group, also where its head was killed
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def tree_rss(pid: int) -> int:
    """Resident memory in bytes of a process and all below it."""
    total = 0
    try:
        for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += p.memory_info().rss
    except psutil.Error:
        pass  # a process that has just ended
    return total


def last_error(log: Path) -> str:
    """The last line of a log that names an error, else its last line."""
    lines = [x.strip() for x in log.read_text(errors="replace").replace("\r", "\n").split("\n") if x.strip()]
    named = [x for x in lines if x.split(":")[0].endswith(("Error", "Exception"))]
    return (named or lines or ["it printed nothing."])[-1][:400]


def _guard(command: list[str]) -> int:
    """Run `command` below this process; end the process group when stdin closes."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end_with_parent():
        while os.read(0, 1):  # returns nothing once the other end is closed
            pass
        os.killpg(0, signal.SIGTERM)
        time.sleep(8)
        os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is sent to the group, of which this is the head
    threading.Thread(target=end_with_parent, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    os._exit(_guard(sys.argv[1:]) & 0xFF)  # not sys.exit: the thread still reads
