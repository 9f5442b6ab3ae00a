"""Memory of a LoRA training step: where each byte goes. The stage `vram`.

A first, closed-form prediction. Its coefficients for Llama-3.1-8B come from traces of the real step without a GPU;
nobody has measured them on this recipe yet.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from . import llama3, models
from .errors import UserError
from .run import Run

GIB = 2**30
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4_BYTES = 0.516  # a 4-bit weight with its share of the doubly quantized scales


@dataclass(frozen=True)
class Shape:
    """The numbers of a Llama's `config.json` that decide its memory."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: dict) -> "Shape":
        return cls(
            config["hidden_size"],
            config["intermediate_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
            config["vocab_size"],
            config["tie_word_embeddings"],
        )

    @property
    def kv(self) -> int:
        """Width of keys and of values."""
        return self.hidden // self.heads * self.kv_heads

    def linears(self) -> dict[str, tuple[int, int]]:
        """(in, out) of the seven linear maps of one layer."""
        h, m, kv = self.hidden, self.intermediate, self.kv
        return {
            "q_proj": (h, h),
            "k_proj": (h, kv),
            "v_proj": (h, kv),
            "o_proj": (h, h),
            "gate_proj": (h, m),
            "up_proj": (h, m),
            "down_proj": (m, h),
        }

    def parameters(self) -> int:
        """All parameters of the base model."""
        layer = sum(i * o for i, o in self.linears().values()) + 2 * self.hidden
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapter_parameters(self, rank: int, targets: list[str]) -> int:
        """Parameters of LoRA's A and B matrices."""
        linears = self.linears()
        unknown = set(targets) - linears.keys()
        if unknown:
            raise UserError(
                f"target_modules: a Llama has no {', '.join(sorted(unknown))}; it has {', '.join(linears)}."
            )
        return self.layers * rank * sum(sum(linears[t]) for t in targets)


def predict(shape: Shape, sft: dict, tokens: int, supervised: int) -> dict[str, int]:
    """Bytes at the peak of one LoRA micro-step, by what holds them.

    Args:
        tokens: in the micro-batch. supervised: those whose logits are kept (labels other than -100).

    Raises:
        UserError: a setting that this formula does not model.
    """
    if sft["tuner_type"] != "lora":
        raise UserError(f"sft.tuner_type {sft['tuner_type']!r} is not modelled: this page predicts LoRA.")
    if not sft["gradient_checkpointing"]:
        raise UserError(
            "sft.gradient_checkpointing false is not modelled yet: this page predicts checkpointed training."
        )
    linear = shape.layers * sum(i * o for i, o in shape.linears().values())
    rest = shape.parameters() - linear  # embeddings, head and norms stay in 16 bit under quantization
    if sft["quant_bits"] == 4:
        base = round(linear * NF4_BYTES) + 2 * rest
    else:
        base = (linear + rest) * DTYPE_BYTES[sft["torch_dtype"]]
    adapter = shape.adapter_parameters(sft["lora_rank"], sft["target_modules"])
    # One checkpoint a layer, its half-precision input; then the larger of the loss and of one layer's recomputation.
    saved = 2 * shape.hidden * shape.layers * tokens
    loss = 12 * shape.vocabulary * supervised  # three float32 copies of the logits
    layer = round(695_064 / 279_076 * 2 * shape.hidden * shape.layers * tokens) - saved
    return {
        "base weights": base,
        "adapter": 4 * adapter,
        "gradients": 4 * adapter,
        "AdamW states": 8 * adapter,
        "checkpointed activations": saved,
        "logits and loss, or one layer": max(loss, layer),
    }


def llama31_8b() -> Shape:
    """Llama-3.1-8B's published shape."""
    return Shape.of(llama3.SHAPE_8B)


def build(run: Run, work: Path) -> dict:
    """Write `prediction.json`: the 8B recipe at this run's own supervised share, and what the run itself used."""
    from .profile import load

    recipe = load("h100-llama3.1-8b").sft
    share = run.record("data")["supervised_share"]
    tokens = recipe["per_device_train_batch_size"] * recipe["max_length"]
    parts = {
        "all tokens supervised": predict(llama31_8b(), recipe, tokens, tokens),
        "supervised share of this run's data": predict(llama31_8b(), recipe, tokens, round(share * tokens)),
    }
    config = json.loads((models.fetch(run.profile.model) / "config.json").read_text())
    shape, sft = Shape.of(config), run.record("sft")
    predicted = shape.adapter_parameters(run.profile.sft["lora_rank"], run.profile.sft["target_modules"])
    result = {
        "recipe": "h100-llama3.1-8b",
        "tokens": tokens,
        "supervised_share": share,
        "recipe_bytes": parts,
        "recipe_measured": "not measured yet",
        "run_parameters": shape.parameters(),
        "run_adapter_parameters": predicted,
        "run_adapter_bytes": sft["adapter_bytes"],
        "run_peak_rss_gib": sft["peak_rss_gib"],
        "run_peak_reserved_gib": sft["peak_reserved_gib"],
    }
    (work / "prediction.json").write_text(json.dumps(result, indent=1))
    return result
