"""The peak at once: a straight line in the tokens of a micro-batch for each phase. No torch here: a slider uses it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class PeakFormula:
    """`peak = max over phases of constant + per_token * T + per_kept * K + per_square * T * L`.

    T tokens in the micro-batch, K of them with logits, L tokens in a row; all in bytes. `lines` holds the four
    coefficients of each phase. `per_square` is 0 unless rows are padded or attention keeps its scores.
    """

    lines: dict[str, tuple[float, float, float, float]]

    def phases(self, tokens: int, kept: int, length: int = 0) -> dict[str, float]:
        """Bytes at the peak of each phase."""
        return {
            name: c + t * tokens + k * kept + square * tokens * length
            for name, (c, t, k, square) in self.lines.items()
            if kept or not name.endswith("+logits")
        }

    def peak(self, tokens: int, kept: int | None = None, length: int = 0) -> int:
        """Bytes at the peak of the step. `kept` None: every token gets logits."""
        return round(max(self.phases(tokens, tokens if kept is None else kept, length).values()))

    def most_tokens(self, capacity: int, share: float, length: int) -> int:
        """The most tokens of a micro-batch, in whole rows of `length`, that stay within `capacity` bytes; 0: none."""
        rows = 0
        while rows < 4096 and self.peak((rows + 1) * length, round((rows + 1) * length * share), length) <= capacity:
            rows += 1
        return rows * length


def save(formulas: dict[str, PeakFormula], file: Path, **about) -> None:
    """Write formulas by name as JSON, with what else a page without a kernel has to know."""
    named = {name: asdict(f)["lines"] for name, f in formulas.items()}
    text = "bytes = max over phases of c0 + c1*tokens + c2*tokens_with_logits + c3*tokens*row_length"
    file.write_text(json.dumps({"formula": text, **about, "coefficients": named}, indent=1), encoding="utf-8")


def load(file: Path) -> dict[str, PeakFormula]:
    """Read what `save` wrote."""
    named = json.loads(Path(file).read_text(encoding="utf-8"))["coefficients"]
    return {n: PeakFormula({p: tuple(c) for p, c in lines.items()}) for n, lines in named.items()}
