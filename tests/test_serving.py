"""The server: LMDeploy's HTTP layer over a tiny random Llama on the CPU stand-in, and the sentences of its errors."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from helpers import chat, models, profile, serving
from helpers.errors import UserError

SYSTEM = "你是倾听者。"
PROMPTS = ["我睡不好。", "和妈妈吵架了，不知道怎么开口。", "Hello, I am tired of everything at work today."]
NEW = 24  # tokens


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def options(port: int) -> dict:
    return {**profile.load("cpu-smollm2").serve, "session_len": 256, "server_port": port}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random Llama with the tokenizer and chat template of the CPU profile's model."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(models.fetch(profile.load("cpu-smollm2").model))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,  # clear winners among the logits
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    out = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def endpoint(folder, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving.serve(folder, options(free_port()), log, api_key="right") as endpoint:
        yield endpoint


def complete(endpoint, text, **kw):
    kw = {"temperature": 0, "max_tokens": NEW, **kw}
    asked = serving.messages(text, SYSTEM)
    return endpoint.client().chat.completions.create(model=endpoint.model, messages=asked, **kw).choices[0]


def test_greedy_answers_of_one_batch_equal_transformers(folder, endpoint):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        served = list(pool.map(lambda text: complete(endpoint, text).message.content, PROMPTS))
    for text, got in zip(PROMPTS, served, strict=True):
        ids = tokenizer.apply_chat_template(
            serving.messages(text, SYSTEM), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = model.generate(**ids, max_new_tokens=NEW, do_sample=False)[0, ids["input_ids"].shape[1] :]
        want = tokenizer.decode(made, skip_special_tokens=True)
        assert got.rstrip("�") == want.rstrip("�")  # the server holds back half a character at the cut
        assert len(got) > 10


def test_a_seed_repeats_a_sampled_answer(endpoint):
    one, two, other = (complete(endpoint, "你好", temperature=1.0, seed=s).message.content for s in (1, 1, 2))
    assert one == two != other


def test_the_stream_equals_the_whole(endpoint):
    pieces = list(serving.stream(endpoint, PROMPTS[1], SYSTEM, NEW))
    assert len(pieces) > 3 and "".join(pieces) == serving.ask(endpoint, PROMPTS[1], SYSTEM, NEW)


def test_a_client_that_leaves_mid_stream_does_not_hold_up_the_next(endpoint):
    long = endpoint.client().chat.completions.create(
        model=endpoint.model,
        messages=serving.messages("说很多", SYSTEM),
        temperature=0,
        max_tokens=200,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    next(iter(long))
    long.close()
    assert complete(endpoint, "你好", max_tokens=2).finish_reason == "length"


@pytest.mark.parametrize(
    ("kw", "code", "says"),
    [
        ({"text": "好" * 900}, 400, "256"),
        ({"text": "你好", "model": "somebody-else"}, 404, "somebody-else"),
        ({"text": "你好", "temperature": 3}, 400, "[0, 2]"),
    ],
)
def test_lmdeploy_refuses_in_its_own_words(endpoint, kw, code, says):
    status, message = serving.status(endpoint.client(), endpoint, **kw)
    assert status == code and says in message


def test_a_wrong_key_is_refused(endpoint):
    from dataclasses import replace

    assert serving.status(replace(endpoint, api_key="wrong").client(), endpoint, "你好")[0] == 401
    assert serving.status(endpoint.client(), endpoint, "你好")[0] == 200


def test_the_chat_box_remembers_and_shows_the_crisis_line(endpoint):
    box = chat.Chat(endpoint, SYSTEM, max_tokens=4)
    first = box.send("<b>你好</b>")
    box.send("在吗")
    assert [m["role"] for m in box.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert box.messages[2]["content"] == first and "&lt;b&gt;" in box.view.value
    assert any("12356" in getattr(w, "value", "") for w in box.box.children)
    assert box.send("   ") == "" and len(box.messages) == 5


def test_the_chat_box_says_that_the_server_is_gone():
    gone = serving.Endpoint(f"http://127.0.0.1:{free_port()}/v1", "listener", "none")
    box = chat.Chat(gone, SYSTEM)
    box.send("你好")
    assert "server" in box.view.value and len(box.messages) == 1 and not box.button.disabled


def test_a_busy_port_is_one_sentence(folder, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} .* in use .* serve.server_port"):
            with serving.serve(folder, options(port), tmp_path / "log"):
                pass


def test_a_server_that_dies_says_why(tmp_path):
    with pytest.raises(UserError, match="ended before it was ready: .*Error"):
        with serving.serve(tmp_path / "no-model", options(free_port()), tmp_path / "log"):
            pass


def test_killing_the_owner_ends_the_server_and_frees_the_port(folder, tmp_path):
    port, ready = free_port(), tmp_path / "ready"
    code = (
        "import sys, time; from pathlib import Path; from helpers import serving\n"
        f"with serving.serve(Path({str(folder)!r}), {options(port)!r}, Path({str(tmp_path / 'log')!r})):\n"
        f"    Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline and owner.poll() is None
        time.sleep(0.1)
    below = psutil.Process(owner.pid).children(recursive=True)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert below and not psutil.wait_procs(below, timeout=15)[1]
    assert serving.is_free("127.0.0.1", port)


def test_the_command_is_the_profiles_serve_section(monkeypatch):
    monkeypatch.setattr(serving, "has_gpu", lambda: True)
    serve = profile.load("h100-llama3.1-8b").serve
    command = [str(x) for x in serving.serve_command(Path("model"), serve)]
    assert command[:4] == ["lmdeploy", "serve", "api_server", "model"]
    assert command[command.index("--session-len") + 1] == "4096" and "--backend" not in command
    monkeypatch.setattr(serving, "has_gpu", lambda: False)
    assert "helpers.lmdeploy_cpu" in serving.serve_command(Path("model"), serve)


def test_the_stand_in_refuses_another_lmdeploy(monkeypatch):
    from helpers import lmdeploy_cpu

    monkeypatch.setattr(lmdeploy_cpu.lmdeploy, "__version__", "0.17.0")
    with pytest.raises(SystemExit, match="0.17.0"):
        lmdeploy_cpu.main()
