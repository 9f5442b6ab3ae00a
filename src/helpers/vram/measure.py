"""Measure one training step with real tensors, in a process of its own: `python -m helpers.vram.measure < recipe.json`.

Weights are random; memory does not depend on their values. On a CPU torch's profiler counts the tensors, on a GPU
PyTorch's allocator does.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict

from ..errors import UserError
from .recipe import Recipe

POINTS = 400  # of a timeline that is drawn


def measure(recipe: Recipe, device: str = "cpu") -> dict:
    """Run two micro-steps; returns `peak_allocated`, `peak_reserved` (None on a CPU), `timeline`, `seconds`, `device`.

    Raises:
        UserError: the process failed, out of memory for instance; the sentence ends with its last line.
    """
    asked = json.dumps({"device": device, "recipe": asdict(recipe)})
    env = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # two threads of an idle pool must not wait for each other
    command = [sys.executable, "-m", "helpers.vram.measure"]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, env=env)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"the training step to be measured on {device} failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


class _Silent:
    """A tracker that does not look, so that nothing but the step is measured."""

    def enter(self, phase: str) -> None: ...

    def reset_peak(self) -> None: ...


def _on_cpu(recipe: Recipe) -> dict:
    from torch.profiler import ProfilerActivity, profile

    from . import step
    from .model import build

    model = build(recipe)
    batch, optimizer = step.batch_of(recipe), step.optimizer_of(model, recipe)
    before = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _there(model, batch)}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        step.run(model, recipe, _Silent(), batch, optimizer)
    sizes = [e.nbytes() for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]
    line = timeline(sizes, sum(before.values()))
    return {"peak_allocated": max(line), "peak_reserved": None, "timeline": thinned(line), "device": "cpu"}


def _on_gpu(recipe: Recipe) -> dict:
    import torch

    from . import step
    from .model import build

    model = build(recipe, device="cuda")
    batch, optimizer = step.batch_of(recipe, "cuda"), step.optimizer_of(model, recipe)
    step.run(model, recipe, _Silent(), batch, optimizer, "cuda")
    torch.cuda.reset_peak_memory_stats()
    start = torch.cuda.memory_allocated()
    torch.cuda.memory._record_memory_history(context=None)
    step.run(model, recipe, _Silent(), batch, optimizer, "cuda", steps=1)
    torch.cuda.synchronize()
    sizes = signed(torch.cuda.memory._snapshot()["device_traces"][0])
    return {
        "peak_allocated": torch.cuda.max_memory_allocated(),
        "peak_reserved": torch.cuda.max_memory_reserved(),
        "timeline": thinned(timeline(sizes, start)),
        "device": torch.cuda.get_device_name(0),
    }


def _there(model, batch: dict):
    yield from model.parameters()
    yield from model.buffers()
    yield from (v for v in batch.values() if hasattr(v, "untyped_storage"))


def signed(trace: list[dict]) -> list[int]:
    """Sizes of a CUDA memory snapshot's entries, negative for a release."""
    sign = {"alloc": 1, "free_completed": -1}
    return [sign[e["action"]] * e["size"] for e in trace if e["action"] in sign]


def timeline(sizes: list[int], start: int = 0) -> list[int]:
    """Live bytes after each change."""
    line = [start]
    for size in sizes:
        line.append(line[-1] + size)
    return line


def thinned(line: list[int], points: int = POINTS) -> list[int]:
    """At most `points` values of a line, each the largest of its stretch, so that the peak stays."""
    width = max(1, -(-len(line) // points))
    return [max(line[i : i + width]) for i in range(0, len(line), width)]


def gemm_flops(dtype: str = "float32", size: int = 1536, seconds: float = 1.0) -> float:
    """FLOP/s of a square matrix product on this CPU, the fastest of many: what a training step is compared with."""
    import torch

    a = torch.randn(size, size).to(getattr(torch, dtype))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def main() -> None:
    asked = json.load(sys.stdin)
    recipe, start = Recipe(**asked["recipe"]), time.perf_counter()
    found = (_on_cpu if asked["device"] == "cpu" else _on_gpu)(recipe)
    print(json.dumps(found | {"seconds": round(time.perf_counter() - start, 2)}))


if __name__ == "__main__":
    main()
