"""Runs that a reader cannot repeat, `data/recorded/<profile>/*.json`; `data/recorded/README.md` says what goes in."""

import json
from pathlib import Path

from .errors import UserError
from .profile import ROOT

FOLDER = ROOT / "data" / "recorded"


def records(profile: str, folder: Path) -> list[tuple[Path, dict]]:
    """The records of a profile below `folder`, each with its file, by name; none if nobody has made one.

    Raises:
        UserError: a file that is not JSON.
    """
    found = []
    for file in sorted((folder / profile).glob("*.json")):
        try:
            found.append((file, json.loads(file.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise UserError(f"{file} is not JSON ({error}).") from None
    return found
