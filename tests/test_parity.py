"""The prompt of training is the prompt of serving, token by token, for every profile that is shipped."""

import json
import socket
import sys
from pathlib import Path

import pytest

from helpers import llama3, mismatch, models, parity, profile, prompt, serving, template

NAMES = profile.names()


@pytest.fixture(scope="module")
def rows() -> dict[str, list[parity.Row]]:
    found = {}
    for name in NAMES:
        chosen = profile.load(name)
        with parity.as_exported(chosen) as folder:
            found[name] = parity.compare(chosen, folder)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_source_gives_the_same_ids(rows, name):
    assert len(rows[name]) == len(parity.cases())
    for row in rows[name]:
        assert row.equal, parity.side_by_side(row, template.load(profile.load(name)).tokenizer)
        assert len(next(iter(row.ids.values()))) > 10


@pytest.mark.parametrize("name", NAMES)
def test_what_a_visitor_types_stays_text(rows, name):
    row = next(r for r in rows[name] if r.note)
    tokenizer = template.load(profile.load(name)).tokenizer
    special = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    plain = next(r for r in rows[name] if r.name == "no system message")
    count = lambda ids: sum(i in special for i in ids)  # noqa: E731
    for source, ids in row.ids.items():
        assert count(ids) == count(plain.ids[source]), source
        assert "<|im_start|>system" in tokenizer.decode(ids)
    assert parity.trained_rows_with_marks(profile.load(name))[0] == 0


# the two 8B profiles share tokenizer and template
@pytest.mark.parametrize("name", ["cpu-smollm2", "h100-llama3.1-8b"])
def test_each_planted_fault_is_found_and_named(name):
    found = mismatch.faults(profile.load(name))
    assert len(found) == (5 if llama3.is_shape_of(profile.load(name).model) else 3)
    for row in found:
        shown = parity.side_by_side(row, template.load(profile.load(name)).tokenizer)
        assert not row.equal and row.name in shown and "⟦" in shown, row.name


def test_the_8b_row_equals_metas_own_format(rows):
    row = next(r for r in rows["h100-llama3.1-8b"] if r.name == "many turns")
    assert len(row.ids) == 4 and parity.META in row.ids


@pytest.fixture(params=["cpu-smollm2", "h100-llama3.1-8b"])
def live(request, monkeypatch, tmp_path):
    """A folder as a profile exports one (with a tiny model in it), LMDeploy's server on it, the ids it received."""
    import torch
    from transformers import AutoConfig, LlamaForCausalLM

    chosen, ids, command = profile.load(request.param), tmp_path / "ids.jsonl", serving.serve_command
    script = [sys.executable, Path(__file__).parent / "engine_that_tells.py", ids]
    monkeypatch.setattr(serving.server, "has_gpu", lambda: False)
    monkeypatch.setattr(serving.server, "serve_command", lambda *a: [*script, *command(*a)[3:]])
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with parity.as_exported(chosen) as folder:
        config = AutoConfig.from_pretrained(folder)
        small = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1)
        config.update(small | {"num_key_value_heads": 1, "head_dim": 16, "dtype": torch.float32})
        LlamaForCausalLM(config).save_pretrained(folder)
        options = chosen.serve | {"server_port": port, "session_len": 1024}
        with serving.serve(folder, options, tmp_path / "server.log") as endpoint:
            yield folder, endpoint, ids


def test_a_live_server_feeds_its_engine_what_was_compared(live):
    """Over HTTP, through the `openai` client, each dialogue: the engine's token ids are `served`'s."""
    folder, endpoint, ids = live
    want = []
    for messages in parity.cases().values():
        done = endpoint.client().chat.completions.create(model=endpoint.model, messages=messages, max_tokens=1)
        want.append(parity.served(folder, messages))
        assert done.usage.prompt_tokens == len(want[-1])
    assert [json.loads(x) for x in ids.read_text().splitlines()] == want


def test_writing_twice_changes_nothing_and_an_unknown_template_is_left_alone(tmp_path):
    chosen = profile.load("cpu-smollm2")
    with parity.as_exported(chosen) as folder:
        before = {f.name: f.read_bytes() for f in folder.iterdir()}
        assert prompt.write(folder, chosen.sft)
        assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
        assert not prompt.write(folder, {**chosen.sft, "template": "qwen"})
        assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
    assert not prompt.write(tmp_path, chosen.sft)


def test_the_tokenizer_of_text_is_unchanged():
    from transformers import AutoTokenizer

    chosen = profile.load("cpu-smollm2")
    base = AutoTokenizer.from_pretrained(models.fetch(chosen.model))
    with parity.as_exported(chosen) as folder:
        own = AutoTokenizer.from_pretrained(folder)
        for messages in parity.cases().values():
            for m in messages:
                assert own(m["content"]).input_ids == base(m["content"]).input_ids


def test_the_first_difference_is_named():
    assert parity.first_difference([1, 2], [1, 2]) is None
    assert parity.first_difference([1, 2], [1, 3]) == 1 and parity.first_difference([1], [1, 2]) == 1


def test_parity_as_a_command(tmp_path):
    import os
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "helpers", "parity", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PROFILE": "cpu-smollm2"},
    )
    assert done.returncode == 0, done.stderr
    assert all(r["equal"] for r in json.loads(done.stdout)) and done.stderr == ""
