"""The dial: one YAML file per profile, in upstream's own argument names."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from .errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "profiles"
REFERENCE = "cpu-smollm2"  # every other profile has this one's sections and keys
AS_PUBLISHED = "original"  # the recipe as its author published it: read, never run


@dataclass(frozen=True)
class Profile:
    """A validated profile. Sections are plain dicts, in pipeline order; `reason` says why this one is in force."""

    name: str
    reason: str
    model: dict
    data: dict
    sft: dict
    vram: dict
    export: dict
    serve: dict
    eval: dict
    improve: dict

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def names() -> list[str]:
    """Names of the profiles that can be run, in alphabetical order."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml") if p.stem != AS_PUBLISHED)


def for_gpu() -> list[Profile]:
    """The profiles that need a GPU."""
    return [chosen for chosen in map(load, names()) if not chosen.sft["use_cpu"]]


def gpu_memory_gib() -> float:
    """Memory of the first CUDA device in GiB, 0.0 without one."""
    import torch

    return torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else 0.0


def resolve(name: str | None = None) -> Profile:
    """Return the profile in force: `name`, else `$PROFILE`, else the largest one that the hardware carries.

    Raises:
        UserError: no such profile, or a profile that `load` refuses.
    """
    asked = name or os.environ.get("PROFILE")
    if asked:
        return load(asked, "asked for by name" if name else "set by PROFILE")
    memory = gpu_memory_gib()
    if not memory:
        return load(REFERENCE, "no CUDA device; set PROFILE to override")
    needs = {n: load(n).model["requires_gpu_gib"] for n in names()}
    best = max((n for n in needs if needs[n] <= memory), key=needs.get)
    return load(best, f"a CUDA device with {memory:.0f} GiB; set PROFILE to override")


def load(name: str, reason: str = "loaded") -> Profile:
    """Read and check `profiles/<name>.yaml`.

    Raises:
        UserError: no such profile, broken YAML, a section or key that is missing or misspelt.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"no profile {name!r}{_nearest(name, names())}; there are: {', '.join(names())}.")
    if name == AS_PUBLISHED:
        raise UserError(
            "profile 'original' is the recipe as published, kept to be read: "
            "ms-swift 4.6.0 refuses its flags; run h100-llama3.1-8b, its port."
        )
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        where = f" line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise UserError(f"{path.name}{where} is not valid YAML: {getattr(error, 'problem', error)}.") from None
    if not isinstance(sections, dict):
        raise UserError(f"{path.name} holds no sections; copy {REFERENCE}.yaml and change its values.")
    _check(path.name, sections)
    return Profile(name=name, reason=reason, **sections)


def _check(file: str, sections: dict) -> None:
    known = yaml.safe_load((FOLDER / f"{REFERENCE}.yaml").read_text(encoding="utf-8"))
    for section in sections:
        if section not in known:
            raise UserError(f"{file}: unknown section {section!r}{_nearest(section, known)}.")
    for section, keys in known.items():
        have = sections.get(section)
        if not isinstance(have, dict):
            raise UserError(f"{file}: section {section!r} is missing.")
        for key in have:
            if key not in keys and key not in _upstream(section):
                near = _nearest(key, keys) or _nearest(key, _upstream(section))
                raise UserError(f"{file}: unknown key {section}.{key}{near}.")
        for key in keys:
            if key not in have:
                raise UserError(f"{file}: key {section}.{key} is missing.")


def _upstream(section: str) -> set[str]:
    """Argument names that ms-swift or LMDeploy itself accepts in this section. Imported late: it takes seconds."""
    if section == "serve":
        from .recipe import tools

        return {action.dest for action in tools.parser("lmdeploy serve api_server")._actions}
    if section not in ("sft", "export", "improve"):
        return set()
    from dataclasses import fields

    from swift.arguments import ExportArguments, RLHFArguments, SftArguments

    takes = {"sft": SftArguments, "export": ExportArguments, "improve": RLHFArguments}[section]
    return {f.name for f in fields(takes)}


def _nearest(word: str, words) -> str:
    close = difflib.get_close_matches(str(word), [str(w) for w in words], n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
