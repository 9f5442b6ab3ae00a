"""The recipe again, in commands that the installed packages take."""

import re

from . import rules, tools
from .checking import Checked
from .flags import BAD, NOT_GIVEN, UNKNOWN
from .looks import View, number
from .shell import quoted

MERGED = "./merged"


def port(checked: list[Checked]) -> str:
    """Shell text of the ported commands. What a person has to decide stands there as a comment."""
    return "\n\n".join(_port(one) for one in checked) + "\n"


def _port(one: Checked) -> str:
    view, broken = one.view, {v.rule for v in one.verdicts}
    if not tools.known(view.tool):
        verdict = one.verdicts[0]
        return f"{verdict.working} …  # was {view.tool}" if verdict.working else f"# {verdict.reason}"
    if view.tool in rules.SERVING and "backend-broken" in broken:
        return _to_lmdeploy(view)
    lines, notes = [], []
    for verdict in one.verdicts:
        if verdict.flag in ("MODEL", "FILE"):
            lines.insert(0, quoted(verdict.working or verdict.value))
        elif verdict.flag == NOT_GIVEN and verdict.value == "MODEL":
            lines.insert(0, verdict.working)
        elif verdict.working and verdict.rule != "remote-code":
            lines += _lines(verdict.working)
        elif verdict.status in (BAD, UNKNOWN):
            notes.append(f"# {verdict.flag} {verdict.value}: {verdict.reason}".replace("\n", " "))
    lines = list(dict.fromkeys(lines))
    env = "".join(f"{k}={quoted(v)} " for k, v in view.env.items() if "$" not in v)
    return "\n".join([*notes, " \\\n  ".join([env + view.tool, *lines])])


def _to_lmdeploy(view: View) -> str:
    """`swift deploy --infer_backend lmdeploy` as a merge and LMDeploy's own server."""
    out, model = [], view.one("model", MERGED)
    if "adapters" in view.args:
        merge = ["swift export", f"--adapters {' '.join(view.args['adapters'])}", "--merge_lora true"]
        out.append(" \\\n  ".join([*merge, f"--output_dir {MERGED}"]))
        model = MERGED
    share = number(view.one("lmdeploy_cache_max_entry_count", "0.8"))
    flags = {
        "model-name": view.one("served_model_name"),
        "tp": view.one("lmdeploy_tp"),
        "session-len": view.one("lmdeploy_session_len"),
        "quant-policy": view.one("lmdeploy_quant_policy"),
        "cache-max-entry-count": view.one("lmdeploy_cache_max_entry_count") if 0 < share < 1 else "0.8",
        "server-name": view.one("host") if view.one("host") not in ("", "0.0.0.0") else "127.0.0.1",
        "server-port": view.one("port", "23333"),
        "api-keys": view.one("api_key"),
    }
    words = [f"--{k} {quoted(v)}" for k, v in flags.items() if v]
    out.append(" \\\n  ".join([f"lmdeploy serve api_server {quoted(model)}", *words]))
    return "\n".join(out)


def _lines(working: str) -> list[str]:
    """`--a 1 --b 2` as two lines."""
    return re.split(r" (?=--)", working)
