"""What an inspection found, in numbers: codes, tokens, packing, versions."""

import json
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from ..errors import UserError
from .codes import CODES
from .row import Settings

SAMPLE = 20_000  # rows whose tokens are counted; of a larger file every n-th
Count = Callable[[str], int]  # tokens of a text


def complete(report: dict, clean: Path, settings: Settings, tokenizers: dict[str, Count], seconds: float) -> dict:
    """The report with token statistics of the clean rows, packing, the table of codes, versions and seconds."""
    counted = tokens(clean, report["kept"], tokenizers)
    table = {
        code: {"rows": report["codes"].get(code, 0), "action": settings.actions[code], "severity": spec.severity}
        for code, spec in CODES.items()
    }
    packages = ("llama-to-listener", "ftfy", "opencc", "numpy", "llama-models")
    return {
        **report,
        "codes": table,
        "max_tokens": settings.max_tokens,
        "tokens": {name: summary(counts) for name, counts in counted.items()},
        "packing": packing(counted["llama3"], settings.max_tokens),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "seconds": round(seconds, 1),
    }


def counters(folders: Sequence[Path]) -> dict[str, Count]:
    """Llama-3's tokenizer as `llama3`, and that of each model's folder under its name, or its path if that is taken.

    Raises:
        UserError: a folder without a tokenizer.
    """
    from .. import llama3

    made = {"llama3": lambda text: len(llama3.tokenizer().encode(text, bos=False, eos=False))}
    for folder in map(Path, folders):
        folder = folder.expanduser().resolve()
        made[str(folder) if folder.name in made else folder.name] = _counter(folder)
    return made


def _counter(folder: Path) -> Count:
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"{folder} holds no tokenizer.json; give the folder of a downloaded model.") from None
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{file} is no tokenizer ({error}); download the model again.") from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def tokens(clean: Path, kept: int, tokenizers: dict[str, Count]) -> dict[str, list[int]]:
    """Tokens of each clean dialogue, text alone, in each tokenizer; of at most `SAMPLE` rows."""
    every = max(1, kept // SAMPLE)
    counts = {name: [] for name in tokenizers}
    with clean.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number % every == 0:
                text = "\n".join(m["content"] for m in json.loads(line)["messages"])
                for name, count in tokenizers.items():
                    counts[name].append(count(text))
    return counts


def summary(counts: list[int]) -> dict:
    """Rows counted, total, median, 95th percentile and most."""
    ordered = sorted(counts)
    if not ordered:
        return {"rows_counted": 0}
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]  # noqa: E731
    return {
        "rows_counted": len(ordered),
        "total": sum(ordered),
        "median": at(0.5),
        "p95": at(0.95),
        "most": ordered[-1],
    }


def packing(counts: list[int], length: int) -> dict:
    """What ms-swift's packing makes of dialogues: sequences of at most `length` tokens and how full they are.

    It uses binpacking as ms-swift 4.6.0 does by default: batches of 1,000, of each the last pack goes on to the next.
    """
    import binpacking

    fitting = [(i, n) for i, n in enumerate(counts) if 0 < n <= length]
    packs, rest = [], []
    for start in range(0, len(fitting), 1000):
        packed = binpacking.to_constant_volume(rest + fitting[start : start + 1000], length, weight_pos=1)
        last = start + 1000 >= len(fitting)
        packs, rest = packs + (packed if last else packed[:-1]), [] if last else packed[-1]
    filled = sum(n for _, n in fitting)
    return {
        "length": length,
        "dialogues": len(fitting),
        "sequences": len(packs),
        "fill": round(filled / (len(packs) * length), 4) if packs else 0.0,
    }


def text(report: dict, out: Path) -> str:
    """The report in lines for a terminal."""
    lines = [f"{report['rows_in']} rows = {report['kept']} kept + {report['quarantined']} quarantined"]
    for name, encodings in report["encodings"].items():
        other = {e: n for e, n in encodings.items() if e not in ("utf-8", "bytes")}
        lines += [f"{name}: {n} rows were {e.upper()}, not UTF-8; they were decoded as such" for e, n in other.items()]
    for code, row in report["codes"].items():
        if row["rows"]:
            lines.append(f"  {row['action']:10s} {code:16s} {row['rows']:7d}  {CODES[code].meaning}")
    pack, counted = report["packing"], report["tokens"]
    if counted["llama3"]["rows_counted"]:
        lines += [
            f"tokens of {name}: median {n['median']}, 95 % up to {n['p95']}, most {n['most']}"
            for name, n in counted.items()
        ]
        lines.append(f"packed to {pack['length']}: {pack['sequences']} sequences, {pack['fill']:.0%} full")
    return "\n".join([*lines, f"{report['seconds']} s; written to {out}"])
