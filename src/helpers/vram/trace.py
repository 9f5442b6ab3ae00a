"""Trace one training step of a recipe, whole: from shapes alone, or with real tensors to check the trace."""

import contextlib
import time
import warnings

from torch._subclasses.fake_tensor import FakeTensorMode

from . import kernels, step
from .allocator import expandable, reserved
from .cards import CARDS, GIB, Card
from .model import build
from .recipe import Memory, Recipe
from .tracker import Tracker


def follow(recipe: Recipe, card: Card, fake: bool = True, steps: int = 2) -> tuple[Tracker, dict]:
    """Run `steps` micro-steps under a tracker; returns it and `{"static", "parameters", "trainable"}`.

    Args:
        fake: shapes only. False runs the same operators on real tensors, on the CPU.
    """
    on_gpu = not recipe.use_cpu
    mode = FakeTensorMode(allow_non_fake_inputs=True) if fake else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(recipe, mode)
        tracker = Tracker(
            recipe.config["vocab_size"],
            round_to=512 if on_gpu else 1,
            cublas=card.cublas if on_gpu else 0,
            workspaces=kernels.WORKSPACES if on_gpu else {},
        )
        hooks = []
        with mode or contextlib.nullcontext(), kernels.cuda_keeps(on_gpu and fake), kernels.rows_are_not_packed():
            lora = recipe.tuner_type == "lora"
            for parameter in model.parameters():
                tracker.add(parameter, "adapter" if lora and parameter.requires_grad else "base weights")
                if parameter.requires_grad:
                    hooks.append(
                        parameter.register_post_accumulate_grad_hook(
                            lambda p: tracker.retag(p.grad.untyped_storage(), "gradients")
                        )
                    )
            for buffer in model.buffers():
                tracker.add(buffer, "base weights")
            counts = {
                "static": tracker.current,
                "parameters": sum(p.numel() for p in model.parameters()),
                "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
            }
            batch = step.batch_of(recipe)
            for value in batch.values():
                if hasattr(value, "untyped_storage"):
                    tracker.add(value, "inputs")
            optimizer = step.optimizer_of(model, recipe)
            with tracker:
                step.run(model, recipe, tracker, batch, optimizer, steps=steps)
    for hook in hooks:
        hook.remove()
    return tracker, counts


def trace_step(recipe: Recipe, card: Card = CARDS["h100"], fake: bool = True) -> Memory:
    """Trace all layers: seconds for a model of billions of parameters, and a few hundred megabytes.

    Args:
        card: whose workspaces, context and capacity count.

    Raises:
        RecipeError: a model that cannot be built.
    """
    start = time.perf_counter()
    tracker, counts = follow(recipe, card, fake)
    return answer(recipe, card, tracker.phases, counts, sum(tracker.by_phase(), []), start)


def answer(recipe: Recipe, card: Card, phases: dict, counts: dict, events, start: float) -> Memory:
    """Peaks of all phases and the stream of events as a `Memory`; `start` as of `time.perf_counter`."""
    top = max(phases, key=lambda p: phases[p]["bytes"])
    taken = {}
    if not recipe.use_cpu and events is not None:
        held = reserved(events, round(card.gib * GIB) - card.context)
        taken = {"peak_reserved": held, "expandable": expandable(events), "nvidia_smi": held + card.context}
    return Memory(
        peak_allocated=phases[top]["bytes"],
        phase=top,
        breakdown=dict(sorted(phases[top]["breakdown"].items(), key=lambda kv: -kv[1])),
        phases=phases,
        seconds=time.perf_counter() - start,
        events=tuple(events or ()),
        **counts,
        **taken,
    )
