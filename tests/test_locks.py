"""pyproject.toml, the two locks and environment.yml tell one story."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from helpers.profile import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lock(name):
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", text))


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_every_dependency_is_pinned_within_its_range(name):
    pins = lock(name)
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[wanted.name.lower()], prereleases=True), text


def test_the_locks_differ_in_torch_alone():
    cpu, gpu = lock("cpu"), lock("gpu")
    assert {p for p in cpu.keys() & gpu.keys() if cpu[p] != gpu[p]} == {"torch"}
    assert not cpu.keys() - gpu.keys()


def test_the_cpu_lock_holds_nothing_of_cuda():
    assert not [p for p in lock("cpu") if re.search(r"-cu\d+$|^triton|^cuda|^torchvision", p)]


def test_environment_yml_installs_the_gpu_lock_and_this_project():
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(re.fullmatch(r"python=(\d+\.\d+)", p)[1] for p in parts if str(p).startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert next(p for p in parts if isinstance(p, dict))["pip"] == ["-r requirements/gpu.lock", "-e ."]
