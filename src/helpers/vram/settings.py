"""A recipe from what people have: a profile, ms-swift's arguments, a model's `config.json`. No torch here."""

import difflib
import json
from dataclasses import fields
from pathlib import Path

from .cards import RecipeError
from .recipe import Recipe

# What a trainer may also be told, and what does not move the peak of one step on one device.
NO_EFFECT = set(
    "template system truncation_strategy per_device_eval_batch_size learning_rate lr_scheduler_type warmup_ratio "
    "warmup_steps weight_decay adam_beta1 adam_beta2 adam_epsilon num_train_epochs max_steps eval_strategy eval_steps "
    "eval_on_start save_strategy save_steps save_total_limit save_only_model logging_steps report_to swanlab_mode "
    "swanlab_project swanlab_exp_name seed data_seed lora_alpha use_rslora dataset_num_proc dataloader_num_workers "
    "dataset val_dataset output_dir model model_type check_model add_version split_dataset_ratio load_from_cache_file "
    "dataset_shuffle train_dataloader_shuffle model_name model_author logging_first_step".split()
)
NOT_MODELLED = {
    "deepspeed": "ZeRO and its offload",
    "fsdp": "FSDP",
    "torch_compile": "torch.compile",
    "use_dora": "DoRA",
    "use_galore": "GaLore",
    "sequence_parallel_size": "sequence parallelism",
    "lisa_activated_layers": "LISA",
    "offload_optimizer": "offload",
    "neftune_noise_alpha": "NEFTune",
    "enable_dft_loss": "the DFT loss",
    "enable_channel_loss": "the channel loss",
}


def from_settings(config: dict, settings: dict) -> Recipe:
    """A recipe from a model's `config.json` and a flat dict of ms-swift arguments, such as a profile's `sft`.

    Raises:
        RecipeError: an unknown key (the nearest is offered), a key that is not modelled, a value that is not allowed.
    """
    known = [f.name for f in fields(Recipe) if f.name != "config"]
    taken = {}
    for key, value in settings.items():
        if key in known:
            if value is not None:
                taken[key] = value
        elif key in NOT_MODELLED:
            if value and (key, value) != ("sequence_parallel_size", 1):
                raise RecipeError(f"{key}: {NOT_MODELLED[key]} is not modelled here; leave it out.")
        elif key not in NO_EFFECT:
            near = difflib.get_close_matches(str(key), [*known, *NO_EFFECT], n=1, cutoff=0.6)
            offer = f"; did you mean {near[0]!r}?" if near else f"; modelled are {', '.join(known)}."
            raise RecipeError(f"{key}: no setting that this prediction knows{offer}")
    if isinstance(taken.get("target_modules"), str):
        taken["target_modules"] = tuple(taken["target_modules"].replace(",", " ").split())
    if isinstance(taken.get("gradient_checkpointing_kwargs"), str):
        try:
            taken["gradient_checkpointing_kwargs"] = json.loads(taken["gradient_checkpointing_kwargs"])
        except json.JSONDecodeError:
            raise RecipeError('gradient_checkpointing_kwargs: give JSON, such as {"use_reentrant": false}.') from None
    return Recipe(config, **taken)


def read_config(path: Path) -> dict:
    """A model's `config.json`, or the one in a model folder.

    Raises:
        RecipeError: no such file, no JSON.
    """
    path = Path(path).expanduser()
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise RecipeError(f"config: {path} does not exist; give a model's config.json or its folder.")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise RecipeError(f"config: {path} is not JSON; give a model's config.json.") from None


def of_profile(profile, **changes) -> Recipe:
    """The recipe of a profile's own `sft` section, with changes."""
    from .. import llama3, models

    if llama3.is_shape_of(profile.model):
        config = {"model_type": "llama", **llama3.SHAPE_8B}
    else:
        config = read_config(models.fetch(profile.model))
    return from_settings(config, profile.sft | changes)
