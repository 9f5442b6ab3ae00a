"""Counts that follow from a Llama's `config.json`: parameters, and arithmetic a token. No torch here."""

from dataclasses import dataclass

from .cards import RecipeError


@dataclass(frozen=True)
class Shape:
    """The numbers that decide them: widths, layers, heads, vocabulary; `tied`: embedding and head are one matrix."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: dict) -> "Shape":
        """Raises RecipeError if a number is missing."""
        try:
            heads = config["num_attention_heads"]
            return cls(
                config["hidden_size"],
                config["intermediate_size"],
                config["num_hidden_layers"],
                heads,
                config.get("num_key_value_heads") or heads,
                config.get("head_dim") or config["hidden_size"] // heads,
                config["vocab_size"],
                bool(config.get("tie_word_embeddings", False)),
            )
        except KeyError as missing:
            raise RecipeError(f"config: {missing.args[0]} is missing; a Llama-shaped model has it.") from None

    def linears(self) -> dict[str, tuple[int, int]]:
        """(in, out) of the seven linear maps of one layer."""
        h, m, q, kv = self.hidden, self.intermediate, self.heads * self.head, self.kv_heads * self.head
        return {
            "q_proj": (h, q),
            "k_proj": (h, kv),
            "v_proj": (h, kv),
            "o_proj": (q, h),
            "gate_proj": (h, m),
            "up_proj": (h, m),
            "down_proj": (m, h),
        }

    def parameters(self) -> int:
        """All parameters of the base model."""
        layer = sum(i * o for i, o in self.linears().values()) + 2 * self.hidden
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapter_parameters(self, rank: int, targets=("all-linear",)) -> int:
        """Parameters of LoRA's A and B matrices.

        Raises:
            RecipeError: a target that a Llama does not have.
        """
        linears = self.linears()
        chosen = linears if "all-linear" in targets else targets
        unknown = set(chosen) - linears.keys()
        if unknown:
            names = ", ".join(sorted(unknown))
            raise RecipeError(f"target_modules: a Llama has no {names}; it has {', '.join(linears)}.")
        return self.layers * rank * sum(sum(linears[t]) for t in chosen)

    def forward_flops(self, length: float, kept: float = 1.0) -> tuple[float, float, float]:
        """FLOPs of one token's forward pass: linear maps, causal attention over rows of `length`, the head.

        Args:
            kept: share of the tokens that get logits.
        """
        linear = 2 * self.layers * sum(i * o for i, o in self.linears().values())
        attention = 2 * self.layers * self.heads * self.head * length
        return linear, attention, 2 * self.hidden * self.vocabulary * kept
