"""Answers that were already given, kept in one SQLite file: a run that stopped goes on where it was.

An answer belongs to a model (a hash of its files), a prompt and the parameters of the request. When one of them
changes, another answer is asked for; when only the scoring changes, none is.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ..errors import UserError

_PARTS = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "*.txt")  # of a model folder: what changes answers


class Answers:
    """The file of answers; each is on disk as soon as `put` returns. Threads may share one.

    Raises:
        UserError: the file is no database of answers.
    """

    def __init__(self, file: Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = sqlite3.connect(file, check_same_thread=False, timeout=30)
        try:
            with self._file:
                self._file.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{file} cannot be used ({error}); remove it, and the answers are asked for again."
            ) from None

    def get(self, key: str) -> str | None:
        """The answer, or None if it was not given yet."""
        with self._lock:
            found = self._file.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def put(self, key: str, answer: str) -> None:
        """Keep an answer."""
        with self._lock, self._file:
            self._file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))

    def remember(self, key: str, compute: Callable[[], dict]) -> dict:
        """What `compute` gives, kept as JSON: from the file if it is there, else computed and put there."""
        kept = self.get(key)
        if kept is None:
            kept = json.dumps(compute())
            self.put(key, kept)
        return json.loads(kept)

    def __len__(self) -> int:
        with self._lock:
            return self._file.execute("SELECT count(*) FROM answers").fetchone()[0]

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


def key(model: str, messages: list[dict], parameters: dict) -> str:
    """What an answer is kept under: a hash of the model's name or fingerprint, the prompt, and the parameters."""
    parts = json.dumps([model, messages, parameters], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def fingerprint(folder: Path) -> str:
    """A hash of a model folder's weights, configuration, tokenizer and chat template, whatever the folder is called.

    Raises:
        UserError: the folder holds no weights.
    """
    files = sorted({p for pattern in _PARTS for p in Path(folder).glob(pattern)})
    if not any(p.suffix in (".safetensors", ".bin") for p in files):
        raise UserError(f"{folder} holds no model weights; give the folder of a model.")
    parts = [(p.name, _sha256(p, p.stat().st_size, p.stat().st_mtime_ns)) for p in files]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, changed: int) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
