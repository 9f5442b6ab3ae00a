"""How good it is: predictions beside what others measured on GPUs. `python -m helpers.vram.published` rewrites them."""

import json
import statistics

from ..profile import ROOT
from .cards import CARDS, MIB
from .peers import PEERS
from .recipe import Recipe, from_settings

MEASURED = ROOT / "data" / "vram" / "published.json"
PREDICTED = ROOT / "data" / "vram" / "predicted.json"


def measured() -> dict:
    """Sources, settings and numbers, see `data/vram/published.json`."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))


def recipe_of(run: dict, data: dict) -> Recipe:
    """The recipe of a published run."""
    return from_settings(data["configs"][run["config"]], data["sources"][run["source"]]["settings"] | run["settings"])


def predict(run: dict, data: dict) -> dict:
    """Ours and the peers' answers for one published run, in MiB; imports torch."""
    from .estimate import estimate_step

    recipe, card = recipe_of(run, data), CARDS[data["sources"][run["source"]]["gpu"]]
    memory = estimate_step(recipe, card)
    return {
        "source": run["source"],
        "row": run["row"],
        "allocated_mib": round(memory.peak_allocated / MIB, 1),
        "reserved_mib": round(memory.peak_reserved / MIB, 1),
        "process_mib": round(memory.nvidia_smi / MIB, 1),
        "peers_mib": {name: round(rule(recipe) / MIB, 1) for name, rule in PEERS.items()},
    }


def rows() -> list[dict]:
    """Measured beside predicted: `quantity`, `measured`, `predicted` (MiB), `error` (a share).

    There is a row for each run and quantity. `quantity` is allocated, reserved or process. The run that a setting was
    fitted to is left out. `peers` compares their answers with the whole process: measured, or reserved and context.
    """
    data, out = measured(), []
    predicted = {(p["source"], p["row"]): p for p in json.loads(PREDICTED.read_text(encoding="utf-8"))["runs"]}
    for run in data["runs"]:
        if run.get("fitted"):
            continue
        ours, card = predicted[run["source"], run["row"]], CARDS[data["sources"][run["source"]]["gpu"]]
        found = {q: run[f"{q}_mib"] for q in ("allocated", "reserved") if f"{q}_mib" in run}
        if "process_gb" in run:
            found["process"] = run["process_gb"] * 1e9 / MIB
        whole = found.get("process") or found["reserved"] + card.context / MIB
        peers = {name: answer / whole - 1 for name, answer in ours["peers_mib"].items()}
        for quantity, value in found.items():
            mine = ours[f"{quantity}_mib"]
            out.append(
                {
                    "source": run["source"],
                    "row": run["row"],
                    "quantity": quantity,
                    "measured": value,
                    "predicted": mine,
                    "error": mine / value - 1,
                    "peers": peers,
                }
            )
    return out


def medians() -> dict[str, float]:
    """Median of the absolute errors by quantity; reserved includes what is known of the whole process only."""
    found = rows()
    kinds = {"allocated": ("allocated",), "reserved": ("reserved", "process")}
    return {k: statistics.median(abs(r["error"]) for r in found if r["quantity"] in q) for k, q in kinds.items()}


def main() -> None:
    """Predict every published run again."""
    from importlib.metadata import version

    data = measured()
    packages = {p: version(p) for p in ("torch", "transformers", "peft", "accelerate")}
    lines = ",\n".join("  " + json.dumps(predict(run, data)) for run in data["runs"])
    head = f' "made_by": "python -m helpers.vram.published",\n "versions": {json.dumps(packages)},'
    PREDICTED.write_text(f'{{\n{head}\n "runs": [\n{lines}\n ]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
