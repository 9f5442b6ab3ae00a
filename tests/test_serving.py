"""The server: LMDeploy's HTTP layer over a tiny random Llama on the CPU stand-in, its errors, the verb."""

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from helpers import chat, models, profile, serving
from helpers.errors import UserError
from helpers.serving import budget, command, faults, metrics
from helpers.serving.server import free_port

pytestmark = pytest.mark.usefixtures("nothing_left")

SYSTEM = "你是倾听者。"
PROMPTS = ["我睡不好。", "和妈妈吵架了，不知道怎么开口。", "Hello, I am tired of everything at work today."]
NEW = 24  # tokens


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
    found = faults.leave(endpoint, SYSTEM)
    assert found["the next client"] == 200 and 0 < found["tokens made for both"] < found["tokens asked for"]


def test_the_stand_in_stops_decoding_for_a_client_that_left(folder):
    from lmdeploy.messages import GenerationConfig, PytorchEngineConfig

    from helpers import lmdeploy_cpu

    engine = lmdeploy_cpu.CpuEngine(str(folder), PytorchEngineConfig(max_batch_size=2))
    handle = engine.create_instance()

    async def leave_after_three():
        seen = 0
        wanted = GenerationConfig(max_new_tokens=10_000, ignore_eos=True)
        async for _ in handle.async_stream_infer(1, [5, 6, 7], wanted):
            seen += 1
            if seen == 3:
                request = handle.running[1]
                await handle.async_cancel(1)
        while engine.active:
            await asyncio.sleep(0.05)
        return request

    request = asyncio.run(leave_after_three())
    assert request.made < 10_000 and engine.get_schedule_metrics().active_seqs == 0


def test_the_servers_own_metrics_count_the_tokens(endpoint):
    before = metrics.read(endpoint)
    complete(endpoint, "你好", max_tokens=5, extra_body={"ignore_eos": True})
    assert metrics.read(endpoint)["generated tokens"] == before["generated tokens"] + 5


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
    assert serving.status(dataclasses.replace(endpoint, api_key="wrong").client(), endpoint, "你好")[0] == 401
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


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: os.truncate(f / "model.safetensors", 5000), "ended before it was ready .*SafetensorError"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "ended before it was ready .*Error"),
        (lambda f: (f / "tokenizer.json").unlink(), "holds no tokenizer: tokenizer.json is missing"),
        (lambda f: (f / "tokenizer_config.json").unlink(), "holds no tokenizer: tokenizer_config.json is missing"),
        (lambda f: (f / "config.json").unlink(), "holds no model: config.json is missing"),
        (shutil.rmtree, "does not exist; page 5"),
    ],
)
def test_a_folder_that_cannot_be_served_is_one_sentence(folder, tmp_path, spoil, says):
    spoiled, port = tmp_path / "model", free_port()
    shutil.copytree(folder, spoiled)
    spoil(spoiled)
    with pytest.raises(UserError, match=says) as caught:
        with serving.serve(spoiled, options(port), tmp_path / "log"):
            pass
    assert "\n" not in str(caught.value) and serving.is_free("127.0.0.1", port)


def test_a_server_that_is_killed_while_it_loads_is_one_sentence(folder, tmp_path):
    port, before = free_port(), set(psutil.Process().children(recursive=True))

    def kill_the_engine():
        while not (found := [p for p in set(psutil.Process().children(recursive=True)) - before if engine(p)]):
            time.sleep(0.02)
        found[0].kill()

    killer = threading.Thread(target=kill_the_engine)
    killer.start()
    with pytest.raises(UserError, match=r"ended before it was ready \(killed by SIGKILL\): .* Log: ") as caught:
        with serving.serve(folder, options(port), tmp_path / "log"):
            pass
    killer.join()
    assert "\n" not in str(caught.value) and serving.is_free("127.0.0.1", port)
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.parametrize(
    ("host", "key", "says"),
    [
        ("0.0.0.0", None, "0.0.0.0 is open to the network: give a key"),
        ("127.0.0.1", "-k", "one word"),
        ("127.0.0.1", "钥匙", "ASCII"),
    ],
)
def test_no_network_without_a_key_and_no_odd_key(folder, tmp_path, host, key, says):
    with pytest.raises(UserError, match=says):
        with serving.serve(folder, options(free_port()) | {"server_name": host}, tmp_path / "log", key):
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


@pytest.fixture(autouse=True)
def own_temporary_folder(monkeypatch, tmp_path):
    """Logs that the verb leaves, because it was killed or its server failed, go with the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def in_a_terminal() -> None:
    """Give a child what a reader's shell gives it: Ctrl-C reaches it, also if the tests run in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def verb(*words, **env):
    """`python -m helpers serve …` in a terminal of its own; `keyboard` types into it."""
    keyboard, terminal = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "helpers", "serve", *map(str, words)],
        env={**os.environ, "PROFILE": "cpu-smollm2", **env},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=in_a_terminal,
    )
    child.keyboard = keyboard
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        os.close(keyboard)
        os.close(terminal)


def until(child, word) -> str:
    """What the verb has printed when a line begins with a word."""
    lines = []
    while not lines or not lines[-1].startswith(word):
        lines.append(child.stdout.readline())
        assert lines[-1], child.stderr.read()
    return "".join(lines)


def engine(process) -> bool:
    """Whether a process is the stand-in itself, not its guard."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False  # ended meanwhile
    return "helpers.lmdeploy_cpu" in words and "helpers.process" not in words


def listening(processes) -> list[int]:
    """The ports of this machine on which these processes listen."""
    found = [c for p in processes for c in p.net_connections("tcp")]
    return [c.laddr.port for c in found if c.status == psutil.CONN_LISTEN]


def ended(processes, ports) -> bool:
    """Whether the processes end soon, and nothing listens on the ports any more."""
    return not psutil.wait_procs(processes, timeout=15)[1] and all(serving.is_free("127.0.0.1", p) for p in ports)


def test_the_verb_serves_prints_a_request_that_works_and_ends_on_ctrl_c(folder):
    port = free_port()
    with verb("--model", folder, "--port", port, "--api-key-env", "MY_KEY", MY_KEY="secret") as child:
        said = until(child, "Ready")
        assert serving.STAND_IN in said and "not a clinician" in said and "12356" in said
        curl = said[said.index("curl ") : said.index("\n\nReady")]
        assert "$MY_KEY" in curl and "secret" not in curl

        def request(key):
            env = {**os.environ, "MY_KEY": key}
            return subprocess.run(curl, shell=True, capture_output=True, text=True, env=env).stdout

        assert '"choices"' in request("secret") and "Unauthorized" in request("wrong")
        with verb("--model", folder, "--port", port) as second:  # it neither waits nor moves to another port
            out, err = second.communicate(timeout=30)
            assert second.returncode == 1 and out == "" and f"port {port} on 127.0.0.1 is in use" in err
        below = psutil.Process(child.pid).children(recursive=True)
        logs = Path(next(line for line in said.splitlines() if line.startswith("logs:")).split()[1])
        assert list(logs.iterdir()) and listening(below) == [port]
        os.write(child.keyboard, b"\x03")
        out, err = child.communicate(timeout=30)
        assert (child.returncode, out, err) == (0, "stopped.\n", "") and ended(below, [port]) and not logs.exists()


def test_sigterm_ends_the_verb_also_while_it_loads(folder):
    port = free_port()
    with verb("--model", folder, "--port", port) as child:
        until(child, "command:")
        while not (below := psutil.Process(child.pid).children(recursive=True)):
            time.sleep(0.05)
        child.terminate()
        out, err = child.communicate(timeout=30)
        assert (child.returncode, out, err) == (0, "stopped.\n", "") and ended(below, [port])


def test_two_workers_ask_for_the_key_and_end_when_the_verb_is_killed(folder):
    port = free_port()
    with verb("--model", folder, "--port", port, "--workers", 2, "--api-key-env", "MY_KEY", MY_KEY="secret") as child:
        until(child, "Ready")
        pool = serving.Endpoint(f"http://127.0.0.1:{port}/v1", "listener", "two", "secret")
        assert serving.status(pool.client(), pool, "你好")[0] == 200
        assert serving.status(dataclasses.replace(pool, api_key="wrong").client(), pool, "你好")[0] == 401
        below = psutil.Process(child.pid).children(recursive=True)
        ports = listening(below)
        assert len(ports) == 3 and port in ports
        child.kill()
        assert ended(below, ports)


def test_the_verb_says_that_its_engine_was_killed(folder):
    with verb("--model", folder, "--port", free_port()) as child:
        until(child, "Ready")
        for process in filter(engine, psutil.Process(child.pid).children(recursive=True)):
            process.kill()
        _, err = child.communicate(timeout=30)
    assert child.returncode == 1 and err.startswith("error: the server ended (killed by SIGKILL)")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--host", "0.0.0.0"], "open to the network"),
        (["--api-key-env", "NOT_SET"], "NOT_SET is not set"),
        (["--model", "no-such-folder"], "no-such-folder does not exist"),
    ],
)
def test_the_verb_refuses_in_one_sentence(words, says):
    with verb(*words) as child:
        _, err = child.communicate()
    assert child.returncode == 1 and says in err and len(err.strip().splitlines()) == 1


def test_the_command_is_the_profiles_serve_section(monkeypatch):
    monkeypatch.setattr(command, "has_gpu", lambda: True)
    serve = profile.load("h100-llama3.1-8b").serve
    words = [str(x) for x in serving.serve_command(Path("model"), serve | {"disable_metrics": True, "x": False})]
    assert words[:4] == ["lmdeploy", "serve", "api_server", "model"]
    assert words[words.index("--session-len") + 1] == "4096" and "--backend" not in words
    assert words[-1] == "--disable-metrics" and "--x" not in words
    monkeypatch.setattr(command, "has_gpu", lambda: False)
    assert "helpers.lmdeploy_cpu" in serving.serve_command(Path("model"), serve)


def test_lmdeploy_takes_every_gpu_command_of_this_book():
    rows = command.gpu_commands()
    assert {r["profile"] for r in rows} == {"h100-llama3.1-8b", "rtx4090-llama3.1-8b-qlora"}
    assert {r["engine"] for r in rows} == {"turbomind", "pytorch"} and {r["objections"] for r in rows} == {"none"}


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        ({"cache_max_entry_count": 0}, "--cache-max-entry-count 0: .*invalid cache_max_entry_count"),
        ({"backend": "pytorch", "cache_max_entry_count": 1.0}, "--cache-max-entry-count 1.0: "),
        ({"session_lenn": 4096}, "--session-lenn 4096: .*nearest is --session-len"),
        ({"backend": "tensorrt"}, "--backend tensorrt: .*choose from 'pytorch', 'turbomind'"),
        ({"quant_policy": 3}, "--quant-policy 3"),
        ({"backend": "turbomind", "quant_policy": 16}, "FP8 quantization is not supported"),
        ({"tp": 0}, "--tp 0: .*positive integer"),
    ],
)
def test_a_planted_mistake_is_found_without_a_gpu(planted, says):
    with pytest.raises(UserError, match=says):
        command.demand(profile.load("h100-llama3.1-8b").serve | planted)


def test_the_kv_budget_is_arithmetic_of_the_shape_and_nothing_is_measured_yet():
    row = next(r for r in budget.table() if r["profile"] == "h100-llama3.1-8b")
    assert row["KiB a token"] == 2 * 32 * 8 * 128 * 2 / 1024
    assert row["all full, GiB"] == 128 * 4096 * 128 * 1024 / 2**30
    assert row["in use when ready, GiB"] == budget.UNKNOWN


def test_the_stand_in_refuses_another_lmdeploy(monkeypatch):
    from helpers import lmdeploy_cpu

    monkeypatch.setattr(lmdeploy_cpu.lmdeploy, "__version__", "0.17.0")
    with pytest.raises(SystemExit, match="0.17.0"):
        lmdeploy_cpu.main()
