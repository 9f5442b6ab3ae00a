"""What this machine has, and what it can carry: `[OK] / [WARN] / [FAIL]` rows. The stage `environment`."""

import json
import os
import platform
import re
import shutil
import socket
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from . import models
from .profile import ROOT, Profile, gpu_memory_gib, load, names
from .run import Run, machine
from .serving import is_free

REINSTALL = "remove .venv and run `make setup`"
HUBS = {"ModelScope": "www.modelscope.cn", "Hugging Face": "huggingface.co"}


@dataclass(frozen=True)
class Check:
    """One row: status OK, WARN or FAIL, what was looked at, what was found, what to do."""

    status: str
    name: str
    found: str
    advice: str = ""


def locked() -> dict[str, str]:
    """Package versions of the lock that applies here: requirements/gpu.lock with CUDA, else requirements/cpu.lock."""
    lock = "gpu.lock" if gpu_memory_gib() else "cpu.lock"
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", (ROOT / "requirements" / lock).read_text()))


def hardware(profile: Profile) -> Iterator[Check]:
    import torch

    m = machine()
    yield Check("OK", "machine", f"{m['system']}, {m['cores']} cores, {m['cpu']}")
    few = m["memory_gib"] < 8
    yield Check("WARN" if few else "OK", "memory", f"{m['memory_gib']} GiB", "close other programs" if few else "")
    yield Check("OK", "CPU instructions", torch.backends.cpu.get_cpu_capability())
    gpu, needed = gpu_memory_gib(), profile.model["requires_gpu_gib"] > 0
    driver = _driver()
    advice = ""
    if driver and not gpu:
        advice = "torch does not see the GPU: unset CUDA_VISIBLE_DEVICES, or install requirements/gpu.lock"
    elif needed and not gpu:
        advice = "rehearse on the CPU: PROFILE=cpu-smollm2"
    status = "OK" if not advice else "FAIL" if needed else "WARN"
    yield Check(status, "GPU", f"{m['gpu']}, {gpu:.0f} GiB" if gpu else "none that torch can use", advice)
    yield Check("OK", "NVIDIA driver", driver or "none")
    yield Check("OK", "torch", f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}")
    wants = profile.sft["attn_impl"] == "flash_attn"
    has = find_spec("flash_attn") is not None
    yield Check(
        "FAIL" if wants and not has else "OK",
        "flash-attn",
        "installed" if has else "not installed",
        "pip install flash-attn, or set attn_impl: sdpa and packing: false" if wants and not has else "",
    )


def software(profile: Profile) -> Iterator[Check]:
    old = sys.version_info < (3, 11)
    yield Check(
        "FAIL" if old else "OK", "Python", platform.python_version(), "install Python 3.11 or newer" if old else ""
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = [re.match(r"[\w.-]+", d)[0].lower() for d in project["dependencies"]]
    pins, others = locked(), []
    for package in [*direct, *(p for p in pins if p not in direct)]:
        found, wanted, status = "missing", pins[package], "FAIL"
        with suppress(PackageNotFoundError):
            found = version(package)
            status = "OK" if found.split("+")[0] == wanted else "WARN"
        if package in direct:
            text = found if status == "OK" else f"{found}, lock {wanted}"
            yield Check(status, package, text, "" if status == "OK" else REINSTALL)
        elif status != "OK":
            others.append(f"{package} {found}, lock {wanted}")
    total = len(pins) - len(direct)
    text = f"{total - len(others)} of {total} as locked" + (f"; {'; '.join(others[:5])}" if others else "")
    yield Check("WARN" if others else "OK", "other packages", text, REINSTALL if others else "")


def disk(profile: Profile) -> Iterator[Check]:
    weights = 16 if profile.model["requires_gpu_gib"] else 1  # GiB: 8 billion parameters of two bytes, or 135 million
    for name, folder, need in (("outputs", ROOT, weights + 2), ("model cache", _existing(models.cache_dir()), weights)):
        free = shutil.disk_usage(folder).free / 2**30
        short = free < need
        found, advice = f"{free:.0f} GiB free, {need} GiB needed", "free some space" if short else ""
        yield Check("FAIL" if short else "OK", f"disk for {name}", found, advice)


def ports(profile: Profile) -> Iterator[Check]:
    for name, port in (("LMDeploy", profile.serve["server_port"]), ("SwanLab", 5092)):
        free = is_free("127.0.0.1", port)
        yield Check(
            "OK" if free else "WARN",
            f"port {port} for {name}",
            "free" if free else "in use",
            "" if free else "stop that program, or change the port",
        )


def hubs(profile: Profile) -> Iterator[Check]:
    reached = set()

    def reach(name: str) -> None:
        with suppress(OSError):
            socket.create_connection((HUBS[name], 443), timeout=2).close()
            reached.add(name)

    threads = [threading.Thread(target=reach, args=[name], daemon=True) for name in HUBS]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 2.5
    for thread in threads:  # looking up a name ignores the socket's timeout: such a thread is left behind
        thread.join(max(0.0, deadline - time.monotonic()))
    for name in HUBS:
        ok = name in reached
        advice = "" if ok else "needed only to download the 8B model"
        yield Check("OK" if ok else "WARN", f"hub {name}", "reachable" if ok else "not reachable", advice)
    token = bool(os.environ.get("HF_TOKEN") or os.environ.get("MODELSCOPE_API_TOKEN"))
    yield Check(
        "OK" if token else "WARN",
        "licence of Llama 3.1",
        "a hub token is set" if token else "no hub token",
        ""
        if token
        else "accept the licence on the model page, set HF_TOKEN or MODELSCOPE_API_TOKEN; the rehearsal needs neither",
    )


def profiles(profile: Profile) -> Iterator[Check]:
    memory = gpu_memory_gib()
    for name in names():
        need = load(name).model["requires_gpu_gib"]
        fits = need <= memory
        why = f"needs a GPU of {need} GiB, this machine has {memory:.0f}" if need else "needs no GPU"
        bad = "FAIL" if name == profile.name else "WARN"  # the one in force has to fit
        yield Check("OK" if fits else bad, f"profile {name}", why, "" if fits else "run it on a larger machine")


def checks(profile: Profile) -> list[Check]:
    """All rows, in reading order. Never raises: a check that fails itself becomes a WARN row."""
    rows = []
    for check in (hardware, software, disk, ports, hubs, profiles):
        try:
            rows += check(profile)
        except Exception as error:
            rows.append(Check("WARN", check.__name__, f"{type(error).__name__}: {error}", "please report this"))
    return rows


def show(rows: list[Check]) -> str:
    """The rows as aligned text."""
    width = max(len(r.name) for r in rows)
    tags = [f"[{r.status}]" for r in rows]
    return "\n".join(
        f"{tag:6s} {r.name:{width}s}  {r.found}{f' -> {r.advice}' if r.advice else ''}"
        for tag, r in zip(tags, rows, strict=True)
    )


def build(run: Run, work: Path) -> dict:
    """Write `checks.json`; return the rows and how many there are of each status."""
    rows = checks(run.profile)
    (work / "checks.json").write_text(json.dumps([asdict(r) for r in rows], indent=1, ensure_ascii=False))
    counts = {s: sum(r.status == s for r in rows) for s in ("OK", "WARN", "FAIL")}
    return {"counts": counts, "checks": [asdict(r) for r in rows]}


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)


def _driver() -> str | None:
    """Version of the NVIDIA driver, or None without a driver or a device."""
    with suppress(Exception):  # NVML raises an error of its own for each thing that is missing
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlSystemGetDriverVersion() if pynvml.nvmlDeviceGetCount() else None
