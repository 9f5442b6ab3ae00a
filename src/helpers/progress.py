"""Watching a training run: a bar and a live loss curve in JupyterLab, a bar in a terminal, plain lines elsewhere."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PLAIN_LINES = 6  # a run prints about this many where nothing can be redrawn


def where() -> str:
    """`jupyter` (a person in JupyterLab looks on), `terminal`, or `plain` (a test, a build, a log file)."""
    # Jupyter's server names the notebook in the kernel's environment; nbclient, which tests and builds use, does not.
    if "JPY_SESSION_NAME" in os.environ:
        return "jupyter"
    return "terminal" if sys.stdout.isatty() else "plain"


class Progress:
    """Shows the rows of a training log (`sft.read_log`) as they come in. Use as a context manager.

    Args:
        step: where the run starts; what an earlier session printed is not printed again.
        command: what is running.
    """

    def __init__(self, step: int = 0, command: str = "swift sft"):
        self.command = command
        self.seen, self.kind, self.view, self.bar, self.printed = 0, where(), None, None, step

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        if self.kind == "terminal" and self.bar:
            self.bar.close()

    def update(self, rows: list[dict]) -> None:
        """Show what is new: rows with `step`, `max_steps` and `loss` or `eval_loss`."""
        if len(rows) == self.seen:
            return
        self.seen = len(rows)
        getattr(self, f"_{self.kind}")(rows)

    def _plain(self, rows: list[dict]) -> None:
        every = max(rows[-1]["max_steps"] // PLAIN_LINES, 1)
        for row in rows:
            step = row["step"]
            if "loss" in row and step > self.printed and (step % every == 0 or step == row["max_steps"]):
                print(f"step {step:>4}/{row['max_steps']}  loss {row['loss']:.3f}", flush=True)
                self.printed = step

    def _terminal(self, rows: list[dict]) -> None:
        from tqdm import tqdm

        self.bar = self.bar or tqdm(desc=self.command, unit="step", total=rows[-1]["max_steps"])
        self.bar.n = rows[-1]["step"]
        losses = [r["loss"] for r in rows if "loss" in r]
        self.bar.set_postfix(loss=f"{losses[-1]:.3f}" if losses else "–")

    def _jupyter(self, rows: list[dict]) -> None:
        import matplotlib.pyplot as plt
        from IPython.display import display
        from ipywidgets import IntProgress

        last, trained = rows[-1], [r for r in rows if "loss" in r]
        figure, ax = plt.subplots()
        ax.plot([r["step"] for r in trained], [r["loss"] for r in trained], marker="o")
        ax.set(xlabel="step", ylabel="loss (nats per token)", xlim=(0, last["max_steps"]))
        plt.close(figure)  # else the inline backend draws it a second time
        if self.view is None:
            self.bar = IntProgress(max=last["max_steps"], description=self.command)
            display(self.bar)
            self.view = display(figure, display_id=True)
        self.bar.value = last["step"]
        self.bar.description = f"{last['step']}/{last['max_steps']}"
        self.view.update(figure)


@contextmanager
def rows() -> Iterator[Callable[[int], None]]:
    """A bar with rows a second on a terminal's stderr; nothing elsewhere. Gives a function of the rows done."""
    from tqdm import tqdm

    with tqdm(unit=" rows", disable=not sys.stderr.isatty()) as bar:
        yield lambda done: bar.update(done - bar.n)
