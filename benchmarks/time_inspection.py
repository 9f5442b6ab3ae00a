"""Time the inspection: `python benchmarks/time_inspection.py 10000 50000 200000`.

Prints a line of JSON for each number of rows, with seconds, CPU seconds (which other work on the
machine does not stretch) and peak memory of all processes together, and the exponent
of a power law through the CPU seconds: 1 is linear.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent


def watched(command: list[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak memory in GB of a command and its children (shared pages counted once for each)."""
    started, peak, before = time.monotonic(), 0, _cpu()
    child = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while child.poll() is None:
        sizes = []
        for process in [child, *_children(child)]:
            try:
                sizes.append(process.memory_info().rss)
            except psutil.Error:
                pass
        peak = max(peak, sum(sizes))
        threading.Event().wait(0.2)
    if child.returncode:
        sys.exit(f"{command} failed with exit code {child.returncode}")
    return time.monotonic() - started, _cpu() - before, peak / 1e9


def _cpu() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _children(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def command(script: str, rows: Path, out: Path) -> list[str]:
    if script == "helpers":
        return [sys.executable, "-m", "helpers", "inspect", str(rows), "--out", str(out), "--json"]
    return [sys.executable, str(HERE / script), str(rows), str(out)]


def main(counts: list[int], script: str) -> None:
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            rows = Path(folder) / "rows.jsonl"
            subprocess.run([sys.executable, HERE / "make_dialogues.py", str(count), rows], check=True)
            seconds, cpu, memory = watched(command(script, rows, Path(folder) / "out"))
            times.append((math.log(count), math.log(cpu)))
            row = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "peak_gb": round(memory, 2)}
            print(json.dumps({"script": script, "rows": count, **row}), flush=True)
    if len(times) > 1:
        x, y = (sum(v) / len(times) for v in zip(*times, strict=True))
        slope = sum((a - x) * (b - y) for a, b in times) / sum((a - x) ** 2 for a, _ in times)
        print(json.dumps({"script": script, "exponent": round(slope, 3), "cores": os.cpu_count()}))


if __name__ == "__main__":
    words = sys.argv[1:]
    other = words[0].endswith(".py")
    main([int(w) for w in words[other:]], words[0] if other else "helpers")
