"""A load test with `evalscope perf`: more and more clients at once, until more of them bring no more tokens."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from .. import process
from ..errors import UserError
from .client import Endpoint, messages
from .recorded import COLUMNS

LEVELS = {1: 2, 2: 4, 4: 8, 8: 16, 16: 16}  # clients at once: requests in all
TOKENS = 24  # of every answer, also of one that would have ended earlier
SECONDS = 15  # after which a level sends no more requests


def write_prompts(val_file: Path, system: str, target: Path) -> int:
    """The first message of each held-out dialogue, a JSON array a line; returns the number of lines."""
    rows = [json.loads(line) for line in val_file.read_text(encoding="utf-8").splitlines()]
    asked = [next(m["content"] for m in row["messages"] if m["role"] == "user") for row in rows]
    lines = (json.dumps(messages(text, system), ensure_ascii=False) + "\n" for text in asked)
    target.write_text("".join(lines), encoding="utf-8")
    return len(asked)


def perf_command(endpoint: Endpoint, prompts: Path, folder: Path, levels: dict[int, int] = LEVELS) -> list:
    """`evalscope perf …`: it needs no tokenizer, because the server counts the tokens."""
    command = ["evalscope", "perf", "--url", f"{endpoint.url}/chat/completions", "--model", endpoint.model]
    command += ["--dataset", "line_by_line", "--dataset-path", prompts]
    command += ["--parallel", *levels, "--number", *levels.values(), "--duration", SECONDS]
    command += ["--max-tokens", TOKENS, "--extra-args", '{"ignore_eos": true}', "--stream"]
    command += ["--no-test-connection", "--sleep-interval", 0]
    command += ["--outputs-dir", folder.parent, "--name", folder.name, "--no-timestamp"]
    return command + (["--api-key", endpoint.api_key] if endpoint.api_key else [])


def sweep(endpoint: Endpoint, prompts: Path, folder: Path, log: Path, levels: dict[int, int] = LEVELS) -> dict:
    """Run the load test and return it in the form of `recorded`.

    Raises:
        UserError: EvalScope failed, or not one request of a level was answered.
    """
    process.run(perf_command(endpoint, prompts, folder, levels), log, {"HF_HUB_OFFLINE": "1"})
    shown = perf_command(replace(endpoint, api_key=None), Path(prompts.name), Path(folder.name), levels)
    return {
        "what": endpoint.engine,
        "command": process.shown(shown),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "levels": [read_level(folder, clients, number) for clients, number in levels.items()],
    }


def read_level(folder: Path, clients: int, number: int) -> dict:
    """One level from EvalScope's `benchmark_summary.json` and `benchmark_percentile.json`."""
    files = [folder / f"parallel_{clients}_number_{number}" / f"benchmark_{x}.json" for x in ("summary", "percentile")]
    missing = [f for f in files if not f.is_file()]
    if missing:
        raise UserError(f"EvalScope measured nothing with {clients} clients: {missing[0]} is missing.")
    summary, percentiles = (json.loads(f.read_text(encoding="utf-8")) for f in files)
    at = {row["Percentiles"]: row for row in percentiles}
    if summary["Failed Requests"] or not summary["Success Requests"]:
        raise UserError(
            f"with {clients} clients {summary['Failed Requests']} of {summary['Total Requests']} requests failed; "
            f"see {folder.parent}."
        )
    values = (
        clients,
        summary["Success Requests"],
        round(summary["Output Throughput (tok/s)"], 1),
        *(round(at[p]["TTFT (ms)"] / 1000, 2) for p in ("50%", "95%")),
        *(round(at[p]["Latency (s)"], 2) for p in ("50%", "max")),
    )
    return dict(zip(COLUMNS, values, strict=True))


def knee(levels: list[dict]) -> dict:
    """The level with the most tokens a second for each second that an answer takes (Kleinrock's power, 1979)."""
    return max(levels, key=lambda row: row["tokens a second"] / row["answer p50, s"])


def curves(tests: list[dict]):
    """Draw throughput and time to the first token over the number of clients, a colour a test; returns both Axes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    speed, first = axes
    lines = []
    for test in tests:
        levels, best = test["levels"], knee(test["levels"])["clients"]
        clients = [row["clients"] for row in levels]
        (line,) = speed.plot(clients, [row["tokens a second"] for row in levels], marker="o", label=test["what"])
        lines.append(line)
        for name, style in (("first token p50, s", "-"), ("first token p95, s", ":")):
            first.plot(clients, [r[name] for r in levels], style, marker="o", color=line.get_color(), label=name[12:15])
        speed.axvline(best, color=line.get_color(), alpha=0.4, linestyle="--")
        speed.text(best, 1.0, " knee", transform=speed.get_xaxis_transform(), va="bottom", ha="center")
    ticks = sorted({row["clients"] for test in tests for row in test["levels"]})
    for ax, what in zip(axes, ("tokens a second, all clients", "seconds to the first token"), strict=True):
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.set(xlabel="clients at once", ylabel=what, ylim=(0, None))
    first.legend(handles=first.lines[:2])
    figure.legend(handles=lines, loc="outside upper center")
    return axes
