"""A Llama so small that the real tools take seconds: SmolLM2's tokenizer, 2 layers, random weights."""

import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import yaml

from helpers import models, profile
from helpers.run import Run

# What the helpers take from their own module paths comes from the folder of the test instead.
MAIN = """
import sys
from pathlib import Path
from helpers import profile, run
root = Path(sys.argv.pop(1))
profile.FOLDER = root / "profiles"
run.Run.current = classmethod(lambda cls, name=None: cls(profile.resolve(name), root / "outputs" / "tiny"))
from helpers.__main__ import main
sys.exit(main())
"""


class Tiny(NamedTuple):
    """A folder with a profile `tiny` for a tiny model, and the command line that uses it."""

    root: Path

    @property
    def run(self) -> Run:
        text = (self.root / "profiles" / "tiny.yaml").read_text(encoding="utf-8")
        return Run(profile.Profile("tiny", "a test", **yaml.safe_load(text)), self.root / "outputs" / "tiny")

    def start(self, *words: str) -> subprocess.Popen:
        """Start `python -m helpers …`."""
        env = {**__import__("os").environ, "PROFILE": "tiny"}
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, str(self.root), *words],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `python -m helpers …`."""
        child = self.start(*words)
        out, err = child.communicate()
        return child.returncode, out, err


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Tiny:
    """Made once; the tests that share it go the road stage by stage."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    root = tmp_path_factory.mktemp("tiny")
    text = (profile.FOLDER / f"{profile.REFERENCE}.yaml").read_text(encoding="utf-8")
    reference = yaml.safe_load(text)
    base = models.fetch(reference["model"])
    config = LlamaConfig.from_pretrained(base)
    small = dict(hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3, head_dim=16)
    config.update(small | {"num_key_value_heads": 3})
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(root / "model")
    AutoTokenizer.from_pretrained(base).save_pretrained(root / "model")
    reference["model"] |= {"source": "path", "id": str(root / "model"), "name": "tiny"}
    reference["data"]["val_rows"] = 4
    reference["sft"] |= {"max_steps": 12, "save_steps": 4, "eval_steps": 12}
    folder = root / "profiles"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(yaml.safe_dump(reference, allow_unicode=True, sort_keys=False), encoding="utf-8")
    (folder / f"{profile.REFERENCE}.yaml").write_text(text, encoding="utf-8")
    return Tiny(root)


def started_with(mark: str, variable: str = "LISTENER_TEST") -> list[psutil.Process]:
    """Processes that live and carry a mark in their environment, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(variable) == mark:
                found.append(process)
        except psutil.Error:
            pass  # ended meanwhile, or somebody else's
    return found


def own_ports() -> set[int]:
    """The ports on which this process itself listens."""
    return {c.laddr.port for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module", autouse=True)
def nothing_outlives_a_file_of_tests():
    """No process that any test started lives when the tests of its file are done, and no port is left open."""
    mark, ports = uuid.uuid4().hex, own_ports()
    before = set(psutil.Process().children(recursive=True))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LISTENER_TEST_FILE", mark)
        yield
    deadline = time.monotonic() + 20

    def living() -> set[psutil.Process]:
        found = set(psutil.Process().children(recursive=True)) - before | set(started_with(mark, "LISTENER_TEST_FILE"))
        return {p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE and not of_python(p)}

    while (left := living()) and time.monotonic() < deadline:
        time.sleep(0.2)
    said = [" ".join(p.cmdline()) for p in left]
    for process in left:
        process.kill()
    assert not left, f"still running: {said}"
    assert own_ports() <= ports, f"still listening: {own_ports() - ports}"


def of_python(process: psutil.Process) -> bool:
    """Python's own helper of `multiprocessing`, which ends with the process that it serves."""
    try:
        return any("multiprocessing.resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return True  # ended meanwhile


@pytest.fixture
def nothing_left(monkeypatch):
    """Every process that a test starts must have ended soon after it, and with the process its port."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("LISTENER_TEST", mark)
    yield
    deadline = time.monotonic() + 20
    while (left := started_with(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    commands = [" ".join(p.cmdline()) for p in left]
    for process in left:
        process.kill()
    assert not left, commands
