"""Load tests that a reader cannot repeat, `data/recorded/<profile>/*.json`, in the form of a live one.

A load test is a dict: `what`, `device`, `date`, `command`, `share` (cache_max_entry_count), `memory_gib` when ready,
and `levels`, a row for each number of clients with the keys of `COLUMNS`.
"""

from pathlib import Path

from ..errors import UserError
from ..recorded import FOLDER, records

COLUMNS = (
    "clients",
    "requests",
    "tokens a second",
    "first token p50, s",
    "first token p95, s",
    "answer p50, s",
    "answer max, s",
)


def runs(profile: str, folder: Path | None = None) -> list[dict]:
    """The load tests recorded for a profile, none if nobody has made one.

    Raises:
        UserError: a record that is no JSON, or lacks what a table needs.
    """
    found = []
    for file, record in records(profile, folder or FOLDER):
        if "levels" not in record:
            continue  # a record of training
        try:
            found.append(read(record))
        except (KeyError, TypeError) as error:
            raise UserError(f"{file} is no load test of this book: {type(error).__name__} {error}.") from None
    return found


def read(record: dict) -> dict:
    """A record of the measuring kit in the form of a live load test."""
    return {
        "what": f"{record['backend']}, cache_max_entry_count {record['cache_max_entry_count']}",
        "device": record["device"],
        "date": record["date"],
        "command": record["command"],
        "status": record["status"],
        "share": record["cache_max_entry_count"],
        "memory_gib": record["memory_in_use_gib"].get("ready"),
        "levels": [_level(row) for row in record["levels"]],
    }


def _level(row: dict) -> dict:
    first, whole = row["first_token_seconds"], row["request_seconds"]
    values = (
        row["concurrency"],
        row["requests"],
        row["output_tokens_per_second"],
        first["p50"],
        first["p95"],
        whole["median"],
        whole["max"],
    )
    return dict(zip(COLUMNS, values, strict=True))
