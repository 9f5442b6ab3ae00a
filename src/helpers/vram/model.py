"""The model of a recipe: transformers' own classes and PEFT's own adapters, from shapes alone or with values."""

import contextlib

import torch
from torch import nn

from .cards import RecipeError
from .kernels import NF4Linear, flash_attention
from .recipe import Recipe


def build(recipe: Recipe, fake=None, device: str = "cpu"):
    """The model, ready to train, inside the `FakeTensorMode` given, else with random values on `device`.

    Raises:
        RecipeError: transformers or PEFT cannot build it; the sentence carries their reason.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    with torch.device("meta"):
        model = _base(recipe, device)
        if recipe.quant_bits:
            _quantize(model, recipe)
        if recipe.tuner_type == "lora":
            model = _adapted(model, recipe)
    _materialize(model, fake, device)
    if recipe.gradient_checkpointing:
        base = base_of(model)
        if recipe.tuner_type == "lora":
            model.enable_input_require_grads()
        kwargs = recipe.gradient_checkpointing_kwargs or {"use_reentrant": True}  # ms-swift's choice on one device
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)
    return model.train()


def base_of(model):
    """transformers' model below PEFT's wrapping."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _base(recipe: Recipe, device: str):
    from transformers import AttentionInterface, AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = recipe.config["model_type"]
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise RecipeError(f"config: model_type {kind!r} is not a causal language model that transformers knows.")
    AttentionInterface.register("listener_varlen", flash_attention)
    given = {k: v for k, v in recipe.config.items() if k not in ("quantization_config", "auto_map")}
    try:
        config = CONFIG_MAPPING[kind].from_dict(given)
        config.use_cache = False
        attention = recipe.attn_impl or "sdpa"
        if recipe.flash:  # the real one needs a GPU
            attention = "listener_varlen" if device == "cpu" else "flash_attention_2"
        return AutoModelForCausalLM.from_config(
            config, dtype=getattr(torch, recipe.torch_dtype), attn_implementation=attention
        )
    except Exception as error:
        raise RecipeError(f"config: transformers cannot build this model ({_short(error)}).") from error


def _quantize(model, recipe: Recipe) -> None:
    head = model.get_output_embeddings()
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):
            if type(child) is nn.Linear and child is not head:
                module._modules[name] = NF4Linear(child, recipe.bnb_4bit_use_double_quant)
    if recipe.kbit_float32:
        for parameter in model.parameters():
            if parameter.dtype in (torch.bfloat16, torch.float16):
                parameter.data = parameter.data.float()


def _adapted(model, recipe: Recipe):
    from peft import LoraConfig, get_peft_model

    targets, head = recipe.target_modules, model.get_output_embeddings()
    linears = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head}
    wrong = sorted(set(targets) - linears - {"all-linear"})
    if wrong:
        raise RecipeError(f"target_modules: this model has no {', '.join(wrong)}; it has {', '.join(sorted(linears))}.")
    chosen = sorted(linears) if "all-linear" in targets else list(targets)
    config = LoraConfig(
        r=recipe.lora_rank, lora_dropout=recipe.lora_dropout, target_modules=chosen, task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, config, autocast_adapter_dtype=False)
    dtype = getattr(torch, recipe.lora_dtype or "float32")
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    return model


def _materialize(model, fake, device: str) -> None:
    """Put every parameter and buffer on the device, or into the fake mode; tied ones stay tied."""
    made = {}

    def new(old):
        if id(old) not in made:
            tensor = torch.empty(old.shape, dtype=old.dtype, device=device)
            if fake is None:
                tensor.normal_(0, 0.02) if tensor.is_floating_point() else tensor.zero_()
            made[id(old)] = (
                nn.Parameter(tensor, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else tensor
            )
        return made[id(old)]

    keep = []  # an id is only safe while its owner lives
    with fake or contextlib.nullcontext():
        for module in model.modules():
            for store in (module._parameters, module._buffers):
                for name, old in list(store.items()):
                    if old is not None:
                        keep.append(old)
                        store[name] = new(old)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
