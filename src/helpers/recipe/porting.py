"""The recipe again, in commands that the installed packages take."""

import re

from . import rules, tools
from .checking import Checked
from .flags import BAD, NOT_GIVEN, OK, UNKNOWN, Verdict
from .looks import View, number
from .shell import quoted

MERGED = "./merged"
OPEN = ("template-dated", "remote-code", "dataset-name")  # rules whose cure holds a blank, or a choice
TAKEN = (
    "model adapters merge_lora infer_backend served_model_name lmdeploy_tp lmdeploy_session_len lmdeploy_quant_policy "
    "lmdeploy_cache_max_entry_count host port api_key model_type template"
).split()


def port(checked: list[Checked]) -> str:
    """Shell text of the ported commands. What a person has to decide stands there as a comment."""
    return "\n\n".join(_port(one) for one in checked) + "\n"


def _port(one: Checked) -> str:
    view, broken = one.view, {v.rule for v in one.verdicts}
    if not tools.known(view.tool):
        return _unchecked(one)
    if view.tool in rules.SERVING and "backend-broken" in broken:
        return _to_lmdeploy(view)
    lines, notes = [], []
    for verdict in one.verdicts:
        if verdict.flag == one.command.tool:
            continue  # the verb, which stands in front already
        if verdict.flag in ("MODEL", "FILE"):
            lines.insert(0, quoted(verdict.working or verdict.value))
        elif verdict.flag == NOT_GIVEN and verdict.value == "MODEL":
            lines.insert(0, verdict.working)
        elif verdict.working and verdict.rule != "remote-code":
            lines += _lines(verdict.working)
        if _stays(verdict):
            said = " ".join(x for x in (verdict.flag, verdict.value) if x)
            notes.append(f"# {said}: {verdict.reason}".replace("\n", " "))
    lines = list({_name(line): line for line in lines}.values())  # of two lines about one flag the last holds
    return "\n".join([*notes, " \\\n  ".join([_env(view) + view.tool, *lines])])


def _stays(verdict: Verdict) -> bool:
    """Whether a person has to decide: nothing takes a flag's place, or what takes it is not known here."""
    refused = verdict.status in (BAD, UNKNOWN) and not verdict.working
    return refused or verdict.rule in OPEN or verdict.rule.startswith(("needs-", "placeholder-"))


def _unchecked(one: Checked) -> str:
    """A command whose flags are not checked, as it was; one that is gone, as a comment."""
    verdict, command = one.verdicts[0], one.command
    if verdict.status == OK:
        words = [*command.positional, *(w for f in command.flags for w in f.words)]
        return _env(one.view) + " ".join([command.tool, *map(quoted, words)])
    return f"# {verdict.reason}" + (f"; instead: {verdict.working}" if verdict.working else "")


def _name(line: str) -> str:
    return line.split()[0].split("=")[0].replace("-", "_")


def _env(view: View) -> str:
    return "".join(f"{k}={quoted(v)} " for k, v in view.env.items() if "$" not in v or v.startswith("$("))


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
    left = [f"--{k} {' '.join(v)}" for k, v in view.args.items() if k not in TAKEN]
    if left:
        out.append(f"# no option of this server (clients send what concerns sampling): {' '.join(left)}")
    out.append(_env(view) + " \\\n  ".join([f"lmdeploy serve api_server {quoted(model)}", *words]))
    return "\n".join(out)


def _lines(working: str) -> list[str]:
    """`--a 1 --b 2` as two lines."""
    return re.split(r" (?=--)", working)
