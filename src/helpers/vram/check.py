"""What a recipe may say. Every refusal is one sentence that names the field and what is allowed."""

from . import recipe as names
from .cards import RecipeError

COUNTS = ("max_length", "lora_rank", "per_device_train_batch_size", "gradient_accumulation_steps", "loss_chunks")
FLAGS = (
    *("use_cpu", "bf16", "fp16", "bnb_4bit_use_double_quant", "packing", "padding_free", "gradient_checkpointing"),
    *("use_logits_to_keep", "use_liger_kernel", "padded", "kbit_float32", "logits_alive"),
)
CHOICES = {
    "tuner_type": ("lora", "full"),
    "torch_dtype": names.DTYPES,
    "attn_impl": (*names.FLASH, "sdpa", "eager"),
    "quant_method": ("bnb",),
    "quant_bits": (4,),
    "lora_dtype": names.DTYPES,
    "optim": names.OPTIMIZERS,
}
SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


def check(r) -> None:
    """Refuse what no trainer accepts, and what is not modelled.

    Raises:
        RecipeError: see above.
    """
    _config(r.config)
    for name in COUNTS:
        value = getattr(r, name)
        if value is None and name == "gradient_accumulation_steps":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise RecipeError(f"{name}: {value!r} is not allowed; give a whole number of 1 or more.")
    for name in FLAGS:
        if getattr(r, name) not in (None, True, False):
            raise RecipeError(f"{name}: {getattr(r, name)!r} is not allowed; give true or false.")
    for name, allowed in CHOICES.items():
        value = getattr(r, name)
        if value not in allowed and value is not None:
            given = ", ".join(map(str, allowed))
            raise RecipeError(f"{name}: {value!r} is not modelled; allowed: {given}.")
    _number("supervised_share", r.supervised_share, 0, 1, above=True)
    _number("lora_dropout", r.lora_dropout, 0, 1)
    _number("max_grad_norm", r.max_grad_norm, 0, float("inf"))
    targets = r.target_modules
    if not isinstance(targets, tuple) or not targets or not all(isinstance(t, str) for t in targets):
        raise RecipeError(f"target_modules: {targets!r} is not allowed; give a list of module names, or all-linear.")
    if r.gradient_checkpointing_kwargs is not None and (
        not isinstance(r.gradient_checkpointing_kwargs, dict)
        or set(r.gradient_checkpointing_kwargs) - {"use_reentrant"}
    ):
        raise RecipeError('gradient_checkpointing_kwargs: only {"use_reentrant": true or false} is modelled.')
    _together(r)


def _together(r) -> None:
    if r.one_row and not r.flash:
        name = "packing" if r.packing else "padding_free"
        raise RecipeError(f"{name}: true needs a flash attention, as ms-swift does; set attn_impl: flash_attn.")
    if r.one_row and r.padded:
        raise RecipeError("padded: true is not allowed with packing or padding_free, which leave no padding.")
    if r.flash and r.use_cpu:
        raise RecipeError("attn_impl: flash attention needs a GPU; with use_cpu give sdpa or eager.")
    if (r.quant_bits is None) != (r.quant_method is None) and r.quant_bits is None:
        raise RecipeError("quant_bits: quant_method bnb needs it; the only value modelled is 4.")
    if r.quant_bits and r.tuner_type == "full":
        raise RecipeError("tuner_type: a 4-bit base cannot be trained in full; give lora, or leave quant_bits out.")
    if r.quant_bits and r.use_cpu:
        raise RecipeError("quant_bits: a 4-bit base is modelled on a GPU only; leave it out with use_cpu.")
    if r.bf16 and r.fp16:
        raise RecipeError("fp16: not together with bf16; set one of them.")
    if r.use_liger_kernel and r.loss_chunks > 1:
        raise RecipeError("loss_chunks: not together with use_liger_kernel, which has chunks of its own.")


def _config(config) -> None:
    if not isinstance(config, dict):
        raise RecipeError("config: not a JSON object; give the config.json of a causal language model.")
    if not isinstance(config.get("model_type"), str):
        raise RecipeError("config: model_type is missing; give the config.json of a causal language model.")
    heads = config.get("architectures") or ["ForCausalLM"]
    if not any(str(a).endswith(("ForCausalLM", "LMHeadModel")) for a in heads):
        raise RecipeError(f"config: architectures {heads} is not a causal language model (a …ForCausalLM).")
    for name in SHAPE:
        value = config.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise RecipeError(f"config: {name} is {value!r}; a Llama-shaped causal model has a whole number there.")
    for name in ("num_local_experts", "num_experts", "n_routed_experts"):
        if config.get(name):
            raise RecipeError(f"config: {name} is {config[name]}: a mixture of experts is not modelled.")
    heads, keys = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    if not isinstance(keys, int) or heads % keys:
        raise RecipeError(f"config: num_key_value_heads is {keys!r}; it has to divide the {heads} attention heads.")
    if not config.get("head_dim") and config["hidden_size"] % heads:
        raise RecipeError(f"config: num_attention_heads is {heads}; it has to divide hidden_size.")


def _number(name: str, value, low: float, high: float, above: bool = False) -> None:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not (low < value or (value == low and not above)) or not value <= high:
        raise RecipeError(
            f"{name}: {value!r} is not allowed; give a number {'above' if above else 'from'} {low} to {high}."
        )
