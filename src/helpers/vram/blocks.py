"""Building blocks alone, as Liger-Kernel's benchmark measures its Hugging Face baselines: forward and backward."""

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from .cards import CARDS, MIB
from .tracker import Tracker

HIDDEN, INTERMEDIATE, VOCABULARY, TOKENS = 4096, 11008, 128256, 16384  # of the benchmark


def block_peak(kernel: str, size: int, gpu: str) -> float:
    """Peak allocated in MiB. `size` is the benchmark's own axis: vocabulary, tokens, length of rows or width.

    The benchmark's script keeps a second head beside the fused loss's baseline, and for RMSNorm the output's gradient.
    """
    tracker = Tracker(vocabulary=0)
    with FakeTensorMode():
        held, forward, again, gradient = _setup(kernel, size)
        for tensor in held:
            tracker.add(tensor)
        with tracker:
            for _ in range(3):
                tracker.reset_peak()
                out = forward()
                out.backward(_gradient(out, gradient), retain_graph=again)
                del out
    products = 2 * CARDS[gpu].cublas if kernel in ("fused_linear_cross_entropy", "swiglu", "geglu") else 0
    return (tracker.peak + products) / MIB


def _gradient(out, kept):
    return kept if kept is not None else None if out.ndim == 0 else torch.randn_like(out)


def _setup(kernel: str, size: int):
    """Tensors that are there before, the forward pass, whether the graph is kept, the output's gradient if it is."""
    half = torch.bfloat16
    if kernel == "cross_entropy":
        logits, labels = torch.randn(TOKENS, size, requires_grad=True), torch.zeros(TOKENS, dtype=torch.long)
        return [logits, labels], lambda: nn.functional.cross_entropy(logits, labels), True, None
    if kernel == "fused_linear_cross_entropy":
        head, other = (nn.Linear(HIDDEN, VOCABULARY, bias=False, dtype=half) for _ in range(2))
        hidden = torch.randn(size, HIDDEN, dtype=half, requires_grad=True)
        labels = torch.zeros(size, dtype=torch.long)
        held = [head.weight, other.weight, hidden, labels]
        return held, lambda: nn.functional.cross_entropy(head(hidden), labels), False, None
    if kernel in ("swiglu", "geglu"):
        mlp = _mlp("silu" if kernel == "swiglu" else "gelu_pytorch_tanh", half)
        hidden = torch.randn(4 if kernel == "swiglu" else 8, size, HIDDEN, dtype=half, requires_grad=True)
        return [*mlp.parameters(), hidden], lambda: mlp(hidden), True, None
    if kernel == "layer_norm":
        norm, hidden = nn.LayerNorm(size), torch.randn(4096, size, requires_grad=True)
        return [*norm.parameters(), hidden], lambda: norm(hidden), True, None
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    norm, hidden = LlamaRMSNorm(size), torch.randn(2048, size, dtype=half, requires_grad=True)
    gradient = torch.randn_like(hidden)
    return [*norm.parameters(), hidden, gradient], lambda: norm(hidden), True, gradient


def _mlp(activation: str, dtype):
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaMLP

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return LlamaMLP(LlamaConfig(hidden_size=HIDDEN, intermediate_size=INTERMEDIATE, hidden_act=activation))
    finally:
        torch.set_default_dtype(before)
