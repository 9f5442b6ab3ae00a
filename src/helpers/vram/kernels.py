"""Stand-ins for kernels that need a GPU: they keep, return and use the same bytes, and compute nothing.

Each says what it stands for. A kernel that is missing here shows as an underestimate.
"""

import contextlib
import math

import torch
from torch import nn


@torch.library.custom_op("llama_to_listener::flash_forward", mutates_args=())
def _flash_forward(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    raise NotImplementedError("shapes only")


@_flash_forward.register_fake
def _(q, k, v):  # q: [tokens, heads, head size]
    return torch.empty_like(q, memory_format=torch.contiguous_format), q.new_empty(
        (q.shape[1], q.shape[0]), dtype=torch.float32
    )


@torch.library.custom_op("llama_to_listener::flash_backward", mutates_args=())
def _flash_backward(
    grad: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, out: torch.Tensor, lse: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    raise NotImplementedError("shapes only")


@_flash_backward.register_fake
def _(grad, q, k, v, out, lse):
    return tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v))


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        out, lse = torch.ops.llama_to_listener.flash_forward(q, k, v)
        ctx.save_for_backward(q, k, v, out, lse)
        return out

    @staticmethod
    def backward(ctx, grad):
        return torch.ops.llama_to_listener.flash_backward(grad.contiguous(), *ctx.saved_tensors)


def flash_attention(module, query, key, value, attention_mask=None, **_):
    """flash-attn over rows laid end to end, for transformers' `AttentionInterface`. q: [rows, heads, tokens, size]."""
    rows, heads, length, size = query.shape
    q, k, v = (x.transpose(1, 2).reshape(rows * length, x.shape[1], size) for x in (query, key, value))
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            q, k, v = (x.to(torch.get_autocast_dtype(device)) for x in (q, k, v))
    return _Flash.apply(q, k, v).view(rows, length, heads, size), None


def _inside_flash_backward(args, out) -> int:
    """flash-attn 2's backward: dq in float32, softmax sums, and dk, dv for every query head (read from its design)."""
    q, k = args[1], args[2]
    tokens, heads, size = q.shape
    expanded = 2 * q.numel() * q.element_size() if k.shape[1] != heads else 0
    return 4 * q.numel() + 4 * tokens * heads + expanded


def _inside_softmax_backward(args, out) -> int:
    """CUDA makes a temporary grad * output."""
    return args[0].numel() * args[0].element_size()


WORKSPACES = {
    "llama_to_listener.flash_backward.default": _inside_flash_backward,
    "aten._softmax_backward_data.default": _inside_softmax_backward,
}


class NF4Linear(nn.Linear):
    """bitsandbytes' Linear4bit: half a byte a weight and its scales; a 16-bit copy lives during each product."""

    BLOCK, BLOCK_OF_SCALES = 64, 256

    def __init__(self, linear: nn.Linear, double_quant: bool):
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self.compute = linear.weight.dtype
        count, device = linear.weight.numel(), linear.weight.device
        packed = torch.empty((count // 2, 1), dtype=torch.uint8, device=device)
        self.weight = nn.Parameter(packed, requires_grad=False)
        blocks = -(-count // self.BLOCK)
        self.register_buffer(
            "scales", torch.empty(blocks, dtype=torch.uint8 if double_quant else torch.float32, device=device)
        )
        if double_quant:
            self.register_buffer("scales_of_scales", torch.empty(-(-blocks // self.BLOCK_OF_SCALES), device=device))

    def forward(self, x):
        y = _NF4.apply(x.to(self.compute), self.out_features, self.in_features)
        if self.bias is not None:
            y = y + self.bias
        return y.to(x.dtype).clone()  # PEFT clones a 4-bit layer's result before it adds LoRA's


class _NF4(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, rows, columns):
        ctx.of = (rows, columns), x.dtype, x.device
        return nn.functional.linear(x, x.new_empty((rows, columns)))

    @staticmethod
    def backward(ctx, grad):
        shape, dtype, device = ctx.of
        return torch.matmul(grad, torch.empty(shape, dtype=dtype, device=device)), None, None


class FusedCrossEntropy(torch.autograd.Function):
    """Liger's fused head and loss: logits of one chunk of rows at a time, gradients finished in the forward pass."""

    @staticmethod
    def forward(ctx, hidden, weight, labels):
        rows, width = hidden.shape
        parts = -(-weight.shape[0] // width)
        chunk = min(rows, 2 ** math.ceil(math.log2(-(-rows // parts))))
        grad, loss = torch.zeros_like(hidden), torch.zeros(rows, dtype=torch.float32, device=hidden.device)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        logits = hidden.new_empty((chunk, weight.shape[0]))
        for start in range(0, rows, chunk):
            part = hidden[start : start + chunk]
            out = logits[: part.shape[0]]
            torch.mm(part, weight.t(), out=out)
            torch.mm(out, weight, out=grad[start : start + chunk])
            if grad_weight is not None:
                grad_weight.addmm_(out.t(), part)
        ctx.save_for_backward(*(x for x in (grad, grad_weight) if x is not None))
        return loss.sum()

    @staticmethod
    def backward(ctx, _):
        grad, *grad_weight = ctx.saved_tensors
        return grad, grad_weight[0] if grad_weight else None, None


class _SoftmaxOfHalf(torch.autograd.Function):
    """CUDA's softmax from float16 to float32 is one kernel: no float32 copy of its input."""

    @staticmethod
    def forward(ctx, x):
        y = torch.empty(x.shape, dtype=torch.float32, device=x.device)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        product = torch.empty_like(grad)  # grad * output, alive until the result is there
        out = torch.empty(grad.shape, dtype=torch.float16, device=grad.device)
        del product
        return out


@contextlib.contextmanager
def cuda_keeps(active: bool):
    """Two operators keep other tensors on CUDA than on a CPU: dropout a byte mask, softmax of float16 no copy."""
    dropout, softmax = nn.functional.dropout, nn.functional.softmax

    def native_dropout(input, p=0.5, training=True, inplace=False):
        return torch.native_dropout(input, p, True)[0] if training and p > 0 else input

    def half_softmax(input, dim=None, _stacklevel=3, dtype=None):
        if dtype == torch.float32 and input.dtype == torch.float16:
            return _SoftmaxOfHalf.apply(input)
        return softmax(input, dim=dim, dtype=dtype)

    if active:
        nn.functional.dropout, nn.functional.softmax = native_dropout, half_softmax
    try:
        yield
    finally:
        nn.functional.dropout, nn.functional.softmax = dropout, softmax


@contextlib.contextmanager
def rows_are_not_packed():
    """transformers looks into `position_ids` for packed rows. It cannot read a fake tensor and would then build a
    mask that a real run of unpacked rows does not build: answer as the real run would."""
    from transformers import masking_utils

    find = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = lambda position_ids: None
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = find
