"""One training step as the trainers do it: forward and loss under autocast, backward, clipping, AdamW."""

import contextlib

import torch
from torch import nn

from .kernels import FusedCrossEntropy
from .model import base_of
from .recipe import Recipe


def batch_of(recipe: Recipe, device: str = "cpu") -> dict:
    """Inputs of one micro-batch at full length; labels end where logits do."""
    rows, length = recipe.per_device_train_batch_size, recipe.max_length
    positions = torch.arange(length, device=device)
    if recipe.one_row:
        positions, rows, length = positions.repeat(rows), 1, rows * length
    zeros = torch.zeros((rows, length), dtype=torch.long, device=device)
    batch = {"input_ids": zeros, "position_ids": positions[None]}
    if recipe.has_padding:
        batch["attention_mask"] = torch.ones_like(zeros)
        batch["attention_mask"][:, -1] = 0  # one pad is enough to make a mask
    kept = kept_tokens(recipe) // rows
    if recipe.keeps:
        # One row: ms-swift passes which tokens to keep. Several: how many at the end, from the first label on.
        batch["logits_to_keep"] = torch.arange(length - kept, length, device=device) if rows == 1 else kept
    batch["labels"] = torch.zeros((rows, kept), dtype=torch.long, device=device)
    return batch


def kept_tokens(recipe: Recipe) -> int:
    """Tokens of a micro-batch that get logits: with `use_logits_to_keep` the supervised ones and one more a row."""
    rows = 1 if recipe.one_row else recipe.per_device_train_batch_size
    length = recipe.tokens // rows
    return rows * (min(length, round(length * recipe.supervised_share) + 1) if recipe.keeps else length)


def loss_of(model, recipe: Recipe, batch: dict):
    """Forward pass and loss; also what the trainer still holds of the model's output when the loss is there."""
    inputs = {k: batch[k] for k in ("input_ids", "position_ids", "attention_mask") if k in batch}
    if recipe.loss == "transformers":
        keep = {"logits_to_keep": batch["logits_to_keep"]} if "logits_to_keep" in batch else {}
        out = model(**inputs, labels=batch["labels"], **keep)
        out.logits.argmax(dim=-1)  # ms-swift counts right tokens in every step
        return out.loss, out
    base = base_of(model)
    head, hidden = base.get_output_embeddings(), base.base_model(**inputs).last_hidden_state
    if recipe.loss == "fused":
        flat = hidden.reshape(-1, hidden.shape[-1])
        return FusedCrossEntropy.apply(flat.to(head.weight.dtype), head.weight, batch["labels"].reshape(-1)), None
    logits, labels, total = head(hidden), batch["labels"], 0
    pieces = zip(logits.chunk(recipe.loss_chunks, dim=1), labels.chunk(recipe.loss_chunks, dim=1), strict=True)
    for part, target in pieces:
        flat = part.float().reshape(-1, part.shape[-1])
        total = total + nn.functional.cross_entropy(flat, target.reshape(-1), reduction="sum")
    return total / labels.numel(), None


class _AdamW8bit(torch.optim.Optimizer):
    """The states of bitsandbytes' 8-bit AdamW, without its arithmetic: two bytes a weight and scales by block."""

    BLOCK, SMALL = 256, 4096

    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and not self.state[p]:
                    kind = torch.uint8 if p.numel() >= self.SMALL else torch.float32
                    blocks = -(-p.numel() // self.BLOCK)
                    for name in ("first", "second"):
                        self.state[p][name] = torch.empty(p.numel(), dtype=kind, device=p.device)
                        self.state[p][f"scales of {name}"] = torch.empty(blocks, device=p.device)


def optimizer_of(model, recipe: Recipe):
    parameters = [p for p in model.parameters() if p.requires_grad]
    if recipe.optim == "sgd":
        return torch.optim.SGD(parameters, lr=1e-4, foreach=False)
    if "8bit" in recipe.optim:
        return _AdamW8bit(parameters)
    fused = recipe.optim == "adamw_torch_fused"
    return torch.optim.AdamW(parameters, lr=1e-4, fused=fused, foreach=None if fused else True)


def run(model, recipe: Recipe, tracker, batch: dict, optimizer, device: str = "cpu", steps: int = 2) -> None:
    """Run micro-steps. The first makes the optimizer's states, so the last is what a long training repeats.

    `tracker` needs `enter(phase)` and `reset_peak()`.
    """
    for number in range(steps):
        tracker.enter("forward")
        tracker.reset_peak()
        kind = recipe.autocast
        half = torch.autocast(device, dtype=getattr(torch, kind)) if kind else contextlib.nullcontext()
        with half:
            loss, held = loss_of(model, recipe, batch)
        if not recipe.logits_alive:
            del held
        tracker.enter("backward")
        loss.backward()
        loss = held = None
        tracker.enter("optimizer")
        if recipe.max_grad_norm:
            nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], recipe.max_grad_norm)
        optimizer.step()
        if number + 1 == steps or not recipe.accumulates:
            optimizer.zero_grad()  # while accumulating, a micro-step finds the gradients of the one before
        tracker.enter("setup")
