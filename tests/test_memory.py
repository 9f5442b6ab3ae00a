"""The closed-form prediction: parameter counts against the real library, and what each setting is worth."""

import pytest

from helpers import llama3, memory, profile
from helpers.errors import UserError

SMALL = llama3.SHAPE_8B | dict(
    vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4
)
SMALL |= dict(num_key_value_heads=2, bos_token_id=1, eos_token_id=2)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "targets", [["q_proj"], ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]]
)
def test_parameter_counts_are_transformers_and_pefts(tied, targets):
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = SMALL | {"tie_word_embeddings": tied}
    shape = memory.Shape.of(config)
    model = LlamaForCausalLM(LlamaConfig(**config))
    assert shape.parameters() == model.num_parameters()
    tuned = get_peft_model(model, LoraConfig(r=8, target_modules=targets))
    assert shape.adapter_parameters(8, targets) == tuned.get_nb_trainable_parameters()[0]


def test_a_target_that_a_llama_lacks_is_one_sentence():
    with pytest.raises(UserError, match="has no c_attn; it has q_proj"):
        memory.llama31_8b().adapter_parameters(8, ["c_attn"])


def test_what_each_setting_is_worth():
    recipe, shape = profile.load("h100-llama3.1-8b").sft, memory.llama31_8b()

    def total(tokens=18432, supervised=18432, **changes):
        return sum(memory.predict(shape, recipe | changes, tokens, supervised).values())

    whole = total()
    assert total(tokens=9216, supervised=9216) < whole
    assert total(supervised=9216) < whole
    assert whole < total(lora_rank=64) < 1.05 * whole  # rank is not what fills a card
    saved = whole - total(quant_bits=4)
    linear = 32 * sum(i * o for i, o in shape.linears().values())
    assert saved == pytest.approx(linear * (2 - memory.NF4_BYTES), rel=1e-6)  # embeddings and head stay in 16 bit


@pytest.mark.parametrize("change", [{"tuner_type": "full"}, {"gradient_checkpointing": False}])
def test_what_is_not_modelled_is_refused(change):
    with pytest.raises(UserError, match="not modelled"):
        memory.predict(memory.llama31_8b(), profile.load("h100-llama3.1-8b").sft | change, 100, 100)
