"""Runs on a GPU that a reader cannot repeat, as recorded in `data/recorded/<profile>/`, beside their prediction."""

import shlex
from pathlib import Path

import yaml

from ..errors import UserError
from ..profile import Profile
from ..recorded import FOLDER, records
from .cards import GIB, find_card
from .recipe import Recipe
from .settings import from_settings, of_profile


def trained(profile: Profile, folder: Path = FOLDER) -> list[dict]:
    """Every recorded `swift sft` of a profile, measured beside predicted; [] until there is one.

    Returns:
        A dict for each run and quantity (`peak_allocated`, `peak_reserved`, `nvidia_smi`): `run`, `device`, `date`,
        `status`, `changes` (settings that differ from the profile), `quantity`, `measured` and `predicted` in bytes.

    Raises:
        UserError: a record that is not JSON or lacks a field.
    """
    rows = []
    for file, record in records(profile.name, folder):
        try:
            if record["what"] == "swift sft":
                rows += _rows(file.stem, record, of_profile(profile))
        except KeyError as error:
            raise UserError(f"{file} is no record of a run ({type(error).__name__}: {error}); measure again.") from None
    return rows


def recipe_of(record: dict, like: Recipe) -> Recipe:
    """The recipe that a record's own command line states, for the model of another recipe."""
    settings, flag = {}, None
    for word in shlex.split(record["command"])[2:]:
        if word.startswith("--"):
            flag = word[2:]
        else:
            settings[flag] = [*settings.get(flag, []), yaml.safe_load(word)]
    batch = record["first_micro_batch"]
    plain = {k: v[0] if len(v) == 1 and k != "target_modules" else v for k, v in settings.items()}
    padded = batch[2] < batch[0] * batch[1]
    return from_settings(like.config, plain | {"supervised_share": batch[3] / (batch[0] * batch[1]), "padded": padded})


def _rows(name: str, record: dict, like: Recipe) -> list[dict]:
    from .estimate import estimate_step

    recipe = recipe_of(record, like)
    predicted = estimate_step(recipe, find_card(record["device"].split()[1]))
    changes = {k: getattr(recipe, k) for k in vars(like) if k != "config" and getattr(recipe, k) != getattr(like, k)}
    about = {"run": name, "device": record["device"], "date": record["date"], "status": record["status"]}
    quantities = {"peak_allocated": "max_allocated", "peak_reserved": "max_reserved", "nvidia_smi": "nvidia_smi_peak"}
    return [
        about
        | {"changes": changes, "quantity": ours, "measured": round(record["memory_gib"][theirs] * GIB)}
        | {"predicted": getattr(predicted, ours)}
        for ours, theirs in quantities.items()
    ]
