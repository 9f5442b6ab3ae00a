"""What a reader would find elsewhere, asked the same question: three published rules of thumb. Bytes, no torch here."""

from .recipe import Recipe
from .shape import Shape

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def accelerate(recipe: Recipe) -> float:
    """`accelerate estimate-memory`, column "Training using Adam": it looks at the parameters alone."""
    from accelerate.commands.estimate import estimate_training_usage

    return max(estimate_training_usage(4 * Shape.of(recipe.config).parameters(), recipe.torch_dtype).values())


def transformer_math(recipe: Recipe) -> float:
    """EleutherAI's *Transformer Math 101*: weights, Adam and activations a layer.

    It knows no LoRA, so the 16 bytes a trained parameter are counted for the adapter alone.
    """
    shape = Shape.of(recipe.config)
    each = 0.5 if recipe.quant_bits else DTYPE_BYTES[recipe.torch_dtype]
    trained = shape.parameters()
    if recipe.tuner_type == "lora":
        trained = shape.adapter_parameters(recipe.lora_rank, recipe.target_modules)
    per_layer = 2 if recipe.gradient_checkpointing else 34 + 5 * shape.heads * recipe.max_length / shape.hidden
    activations = recipe.tokens * shape.hidden * shape.layers * per_layer
    return each * shape.parameters() + 16 * trained + activations


def llama_factory(recipe: Recipe) -> float:
    """LLaMA-Factory's table *Hardware Requirement*: gigabytes a billion parameters, by method."""
    billions = Shape.of(recipe.config).parameters() / 1e9
    each = 8 if recipe.tuner_type == "full" else 0.5 if recipe.quant_bits else 2
    return each * billions * 1e9


PEERS = {
    "accelerate estimate-memory": accelerate,
    "Transformer Math 101": transformer_math,
    "LLaMA-Factory's table": llama_factory,
}
