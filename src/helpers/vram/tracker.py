"""Counts live tensors while a step runs: every operator's outputs, from first use to the last reference."""

import weakref
from collections import defaultdict

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MATMULS = {"aten.mm.default", "aten.addmm.default", "aten.bmm.default", "aten.baddbmm.default"}
LOGITS = "logits and loss"
BY_PHASE = {
    "setup": "inputs",
    "forward": "activations",
    "backward": "recompute and backward",
    "optimizer": "optimizer states",
}


class Tracker(TorchDispatchMode):
    """Under this mode every new storage counts until it is freed. Works on real and on fake tensors alike.

    Args:
        vocabulary: tensors with this size in their shape are logits.
        round_to: bytes; PyTorch's CUDA allocator hands out multiples of 512, a CPU's counts to the byte.
        cublas: bytes of the workspace that a thread's first matrix product leaves behind, 0 on a CPU.
        workspaces: operator name -> function(args, out) -> bytes that a kernel uses inside and gives back.

    Attributes:
        peak: largest sum of live bytes. phases: per phase `{"bytes", "breakdown"}` at that phase's own peak.
        events: (+id, bytes, operator) for a new storage, (-id, bytes, operator) for a freed one.
        bounds: (phase, index into `events`) at each change of phase.
    """

    def __init__(self, vocabulary: int, round_to: int = 512, cublas: int = 0, workspaces: dict | None = None):
        super().__init__()
        self.vocabulary, self.round_to, self.cublas = vocabulary, round_to, cublas
        self.workspaces = workspaces or {}
        self.current = self.peak = self._next = 0
        self.phase = "setup"
        self.phases: dict[str, dict] = {}
        self.events: list[tuple[int, int, str]] = []
        self.bounds: list[tuple[str, int]] = [("setup", 0)]
        self._live: dict[int, list] = {}  # id -> [bytes, category, operator]
        self._by_category = defaultdict(int)
        self._seen = weakref.WeakKeyDictionary()  # storage -> id
        self._handles: set[str] = set()

    def enter(self, phase: str) -> None:
        """Name what runs from here on: setup, forward, backward or optimizer."""
        self.phase = phase
        self.bounds.append((phase, len(self.events)))

    def reset_peak(self) -> None:
        self.peak = 0
        self.phases = {}

    def by_phase(self) -> list[list[tuple]]:
        """The events up to the last change of phase, cut at each."""
        edges = [start for _, start in self.bounds]
        return [self.events[x:y] for x, y in zip(edges, edges[1:], strict=False)]

    def add(self, tensor: torch.Tensor, category: str | None = None, operator: str = "setup") -> None:
        """Count a tensor's storage, or move it to another category if it is counted already."""
        try:
            storage = tensor.untyped_storage()
        except NotImplementedError:  # a tensor without storage
            return
        if storage in self._seen:
            if category is not None:
                self.retag(storage, category)
            return
        size = -(-storage.nbytes() // self.round_to) * self.round_to
        if size:
            number = self._count(size, category or self._category(tensor), operator)
            self._seen[storage] = number
            weakref.finalize(storage, self._free, number)

    def retag(self, storage, category: str) -> None:
        entry = self._live.get(self._seen.get(storage))
        if entry and entry[1] != category:
            self._by_category[entry[1]] -= entry[0]
            self._by_category[category] += entry[0]
            entry[1] = category

    def _count(self, size: int, category: str, operator: str) -> int:
        self._next += 1
        self._live[self._next] = [size, category, operator]
        self._by_category[category] += size
        self.current += size
        self.events.append((self._next, size, operator))
        return self._next

    def _free(self, number: int) -> None:
        size, category, operator = self._live.pop(number)
        self.current -= size
        self._by_category[category] -= size
        self.events.append((-number, size, operator))

    def _category(self, tensor: torch.Tensor) -> str:
        if self.vocabulary in tensor.shape and self.phase in ("forward", "backward"):
            return LOGITS
        return BY_PHASE[self.phase]

    def _look(self, inside: int = 0) -> None:
        """Compare with the peaks so far; `inside`: bytes that the running kernel uses itself."""
        total = self.current + inside
        key = f"{self.phase}+logits" if self._by_category[LOGITS] else self.phase
        if total > self.phases.get(key, {"bytes": 0})["bytes"]:
            held = {k: v for k, v in self._by_category.items() if v}
            self.phases[key] = {"bytes": total, "breakdown": held | ({"inside kernels": inside} if inside else {})}
        self.peak = max(self.peak, total)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        if self.cublas and name in MATMULS and self.phase not in self._handles:
            self._handles.add(self.phase)  # one handle a thread: the forward pass's, and autograd's own
            self._count(self.cublas, "cuBLAS workspace", "cuBLAS")
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf, operator=name)
        workspace = self.workspaces.get(name)
        inside = workspace(args, out) if workspace else 0
        if inside:
            self._next += 1
            self.events += [(self._next, inside, "workspace"), (-self._next, inside, "workspace")]
        self._look(inside)
        return out
