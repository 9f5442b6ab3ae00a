"""What this machine has, and what it can carry: `[OK] / [WARN] / [FAIL]` rows. The stage `environment`."""

import json
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from . import models
from .profile import ROOT, Profile, gpu_memory_gib, load, names
from .run import Run, machine
from .serving import is_free

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
    gpu = gpu_memory_gib()
    yield Check(
        "OK" if gpu else "WARN",
        "GPU",
        f"{m['gpu']}, {gpu:.0f} GiB" if gpu else "none",
        "" if gpu else "rehearse on the CPU",
    )
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
    wrong = []
    for package, wanted in locked().items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "missing"
        if found.split("+")[0] != wanted:
            wrong.append(f"{package} {found}, lock {wanted}")
    total = len(locked())
    yield Check(
        "WARN" if wrong else "OK",
        "packages",
        f"{total - len(wrong)} of {total} as locked" + (f"; {'; '.join(wrong[:5])}" if wrong else ""),
        "remove .venv and run `make setup`" if wrong else "",
    )


def disk(profile: Profile) -> Iterator[Check]:
    for name, folder, need in (("outputs", ROOT, 3), ("model cache", _existing(models.cache_dir()), 2)):
        free = shutil.disk_usage(folder).free / 2**30
        short = free < need
        yield Check(
            "FAIL" if short else "OK", f"disk for {name}", f"{free:.0f} GiB free", f"free {need} GiB" if short else ""
        )


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
    def reached(host: str) -> bool:
        try:
            socket.create_connection((host, 443), timeout=2).close()
            return True
        except OSError:
            return False

    with ThreadPoolExecutor() as pool:
        for name, ok in zip(HUBS, pool.map(reached, HUBS.values()), strict=True):
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
        yield Check("OK" if fits else "WARN", f"profile {name}", why, "" if fits else "run it on a larger machine")


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
    return {"counts": {s: sum(r.status == s for r in rows) for s in ("OK", "WARN", "FAIL")}}


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
