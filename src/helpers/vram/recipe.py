"""What is asked, in ms-swift's own words, and what is answered, in bytes. No torch here."""

import difflib
import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from .cards import RecipeError

DTYPES = ("bfloat16", "float16", "float32")
FLASH = ("flash_attn", "flash_attention_2", "flash_attention_3")
OPTIMIZERS = ("adamw_torch_fused", "adamw_torch", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit", "sgd")

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


@dataclass(frozen=True)
class Recipe:
    """One fine-tuning step. Names and defaults are ms-swift 4.6.0's; the last block is this book's own.

    `config` is the model's `config.json`. Everything is checked when the recipe is made.

    Raises:
        RecipeError: a value that no trainer accepts or that is not modelled.
    """

    config: dict = field(repr=False)
    tuner_type: str = "lora"
    torch_dtype: str = "bfloat16"
    use_cpu: bool = False
    bf16: bool | None = None  # autocast; None: as torch_dtype says
    fp16: bool | None = None
    attn_impl: str | None = None  # None: sdpa
    quant_method: str | None = None
    quant_bits: int | None = None
    bnb_4bit_use_double_quant: bool = True
    max_length: int = 2048
    packing: bool = False
    padding_free: bool = False
    gradient_checkpointing: bool = True
    gradient_checkpointing_kwargs: dict | None = None
    lora_rank: int = 8
    lora_dropout: float = 0.05
    lora_dtype: str | None = None  # None: float32, PEFT's autocast_adapter_dtype
    target_modules: tuple = ("all-linear",)
    per_device_train_batch_size: int = 1
    gradient_accumulation_steps: int | None = None  # None: 16 rows a step
    use_logits_to_keep: bool | None = None  # None: True
    use_liger_kernel: bool = False
    optim: str = "adamw_torch_fused"
    max_grad_norm: float = 1.0

    supervised_share: float = 1.0  # of the tokens, those whose label is not -100
    padded: bool | None = None  # rows of unequal length in a batch; None: if it has several and is not packed
    kbit_float32: bool = False  # peft.prepare_model_for_kbit_training: what is not quantized goes to float32
    logits_alive: bool = False  # the training loop still holds the model's output during the backward pass
    loss_chunks: int = 1  # logits in 16 bit as a whole, in float32 one chunk of this many at a time

    def __post_init__(self) -> None:
        if isinstance(self.target_modules, list):
            object.__setattr__(self, "target_modules", tuple(self.target_modules))
        from .check import check

        check(self)

    @property
    def flash(self) -> bool:
        return self.attn_impl in FLASH

    @property
    def one_row(self) -> bool:
        """Packed or padding-free: the rows of a micro-batch lie one after another in a single one."""
        return self.packing or self.padding_free

    @property
    def tokens(self) -> int:
        """Tokens of one micro-batch, all rows at full length."""
        return self.per_device_train_batch_size * self.max_length

    @property
    def keeps(self) -> bool:
        """Whether logits are computed for supervised tokens only."""
        return self.use_logits_to_keep is not False and self.loss == "transformers"

    @property
    def loss(self) -> str:
        return "fused" if self.use_liger_kernel else "chunked" if self.loss_chunks > 1 else "transformers"

    @property
    def autocast(self) -> str | None:
        """The type of the forward pass under mixed precision, None without it."""
        if self.bf16 or (self.bf16 is None and self.torch_dtype == "bfloat16"):
            return "bfloat16"
        half = self.fp16 or (self.fp16 is None and self.torch_dtype != "bfloat16")
        return "float16" if half and not self.use_cpu else None  # accelerate leaves fp16 out on a CPU

    @property
    def accumulates(self) -> bool:
        steps = self.gradient_accumulation_steps
        return (steps if steps else -(-16 // self.per_device_train_batch_size)) > 1

    @property
    def has_padding(self) -> bool:
        several = self.per_device_train_batch_size > 1 and not self.one_row
        return several if self.padded is None else self.padded

    def with_layers(self, number: int) -> "Recipe":
        """The same recipe on a model cut to its first layers."""
        config = dict(self.config, num_hidden_layers=number)
        if isinstance(config.get("layer_types"), list):
            config["layer_types"] = config["layer_types"][:number]
        return replace(self, config=config)


@dataclass(frozen=True)
class Memory:
    """Bytes of one training step.

    Attributes:
        peak_allocated: of all tensors at once, what `torch.cuda.max_memory_allocated` counts.
        phase: of the step, when that was. breakdown: what held it then.
        phases: the peak and its breakdown in every phase. static: parameters and buffers alone.
        peak_reserved: what PyTorch's allocator took from the driver (None on a CPU); expandable: the same with
            `PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True`. nvidia_smi: reserved and the CUDA context.
        events: the stream of (+id, bytes) and (-id, 0), for drawing; empty after an estimate.
    """

    peak_allocated: int
    phase: str
    breakdown: dict[str, int]
    phases: dict[str, dict]
    static: int
    parameters: int
    trainable: int
    seconds: float
    peak_reserved: int | None = None
    expandable: int | None = None
    nvidia_smi: int | None = None
    events: tuple = field(default=(), repr=False)


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
