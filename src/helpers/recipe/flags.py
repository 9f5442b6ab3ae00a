"""One flag of a recipe: what the installed parser makes of it, and what it is called today."""

import re
from dataclasses import dataclass, replace

from . import renames, tools
from .commands import Command, Flag
from .shell import is_rest, quoted

OK, RENAMED, UNKNOWN, BAD, HARMFUL = "ok", "renamed", "unknown", "bad value", "harmful"
SEVERITY = (OK, RENAMED, UNKNOWN, BAD, HARMFUL)
NOT_GIVEN = "(not given)"


@dataclass(frozen=True)
class Verdict:
    """What became of one flag. `working` is what to write instead, '' where it is to be left out."""

    command: str
    line: int
    flag: str
    value: str
    status: str
    reason: str
    source: str
    working: str
    also: tuple[str, ...] = ()  # milder findings about the same flag
    rule: str = ""


def judge(command: Command, flag: Flag) -> tuple[Verdict, dict, tuple[str, ...]]:
    """Verdict, arguments in today's names, and words behind the flag that are not its own."""
    tool, source = command.tool, tools.installed(command.tool)
    table, gone = (
        (renames.SWIFT, renames.SWIFT_GONE) if tool.startswith("swift") else (renames.LMDEPLOY, renames.LMDEPLOY_GONE)
    )
    made = Verdict(tool, flag.line, flag.words[0].split("=", 1)[0], " ".join(flag.values), OK, "", source, "")
    if is_rest(flag.words[0], True):
        reason = "what the shell puts here was not checked"
        return replace(made, reason=reason, working=_as_written(flag.words[0])), {}, flag.words[1:]
    if flag.empty:
        reason = "ms-swift passes an empty value of YAML on as the word None"
        return replace(made, status=BAD, reason=reason), {}, ()
    answer = tools.ask(tool, flag.words)
    refused = bool(answer.unknown or answer.refusal)
    surplus: tuple[str, ...] = ()
    if not refused and answer.left:
        if tool.startswith("lmdeploy"):
            surplus = answer.left
        else:
            said = f"remaining_argv: {list(answer.left)}"
            working = _words(tool, answer.dest, answer.values)
            return replace(made, status=BAD, reason=said, working=working), {answer.dest: answer.values}, ()
    if not refused:
        values, reason = _new_values(tool, answer.dest, answer.values)
        if values is not None:
            now = {answer.dest: values} if values else {}
            status = HARMFUL if answer.dest == "target_modules" else BAD  # the parser takes any module name
            return replace(made, status=status, reason=reason, working=_words(tool, answer.dest, values)), now, surplus
        short = answer.option and flag.name != answer.dest and not flag.name.startswith("no_")
        reason = f"short for {answer.option}" if short else ""
        words = flag.words[: len(flag.words) - len(surplus)]
        working = _words(tool, answer.dest, answer.values) if short else " ".join(quoted(w) for w in words)
        made = replace(made, value=" ".join(answer.values), reason=reason, working=working)
        return made, {answer.dest: answer.values}, surplus
    if flag.name in table:
        new, since = table[flag.name]
        whole = flag.name == "ckpt_dir" and re.search(r"-merged\b|-(awq|gptq|bnb|int[48])\b", " ".join(flag.values))
        return _renamed(made, flag, "model" if whole else new, since)
    if answer.unknown:
        if flag.words[0][:1] in "–—" or flag.words[0].lstrip("-")[:1] in "–—":
            right = " ".join(["--" + flag.name, *map(quoted, flag.values)])
            why = "a long dash makes no flag; write two hyphens"
            return replace(made, status=UNKNOWN, reason=why, working=right), {}, ()
        near = tools.nearest(tool, flag.name)
        if flag.name in gone:
            return replace(made, status=UNKNOWN, reason=f"gone: {gone[flag.name]}"), {}, ()
        why = f"{answer.refusal}" + (f"; nearest is {near}" if near else "")
        return (
            replace(
                made, status=UNKNOWN, reason=why, working=" ".join([near, *map(quoted, flag.values)]) if near else ""
            ),
            {},
            (),
        )
    if any("$" in v for v in flag.values) and answer.dest:  # the shell knows the value, we do not
        reason = "the value comes from the shell and was not checked"
        return replace(made, reason=reason, working=" ".join(map(quoted, flag.words))), {}, ()
    values, _ = _new_values(tool, answer.dest, flag.values)
    if not flag.values and answer.dest and not tools.ask(tool, (*flag.words, "true")).refusal:
        values = ("true",)  # a switch that needs its value
    working = _words(tool, answer.dest, values) if values else ""
    now = {answer.dest: values} if values else {}
    return replace(made, status=BAD, reason=answer.refusal, working=working), now, ()


def _renamed(made: Verdict, flag: Flag, new: str, since: str) -> tuple[Verdict, dict, tuple[str, ...]]:
    """An old name in the new spelling, and whether the new one is taken here with this value."""
    tool = made.command
    values, reason = _new_values(tool, new, flag.values)
    if tool.startswith("swift") and new == "attn_impl" and not flag.values:
        values = ("flash_attn",)
    values = flag.values if values is None else values
    reason = "; ".join(x for x in (f"renamed {tools.show(tool, new)} ({since})", reason) if x)
    if not values and flag.values:
        return replace(made, status=RENAMED, reason=reason + "; the default does that", working=""), {}, ()
    answer = tools.ask(tool, (tools.show(tool, new), *values))
    working = _words(tool, new, values)
    if answer.unknown:  # another command of the same tool has it
        return replace(made, status=UNKNOWN, reason=f"{reason}, which `{tool}` does not take"), {}, ()
    if answer.refusal:
        return replace(made, status=BAD, also=(RENAMED,), reason=f"{reason}; {answer.refusal}"), {}, ()
    now = {answer.dest: answer.values}
    if flag.name == "quantization_bit" and values:
        now, working = {"quant_method": ("bnb",), **now}, f"--quant_method bnb {working}"
    return replace(made, status=RENAMED, reason=reason, working=working), now, answer.left


def _new_values(tool: str, dest: str, values: tuple[str, ...]) -> tuple[tuple[str, ...] | None, str]:
    """Old values in today's words, None where nothing changes, and the reason."""
    out, said = [], []
    for value in values:
        key = (dest, value if (dest, value) in renames.VALUES else value.lower())
        if key in renames.VALUES:
            new = renames.VALUES[key]
            out += new
            said.append(f"{value!r} is now {' '.join(new) or 'the default'}")
        else:
            out.append(value)
    return (tuple(out), ", ".join(said)) if said else (None, "")


def _as_written(word: str) -> str:
    return word if re.fullmatch(r"\$\{?\w+\}?", word) else f'"{word}"'


def _words(tool: str, dest: str, values: tuple[str, ...]) -> str:
    return " ".join([tools.show(tool, dest), *map(quoted, values)]) if values else ""


def worse(verdict: Verdict, status: str, reason: str, source: str, working: str | None = None, rule="") -> Verdict:
    """A verdict with a finding added; the graver status leads."""
    milder = tuple(s for s in (*verdict.also, verdict.status) if s not in (OK, status))
    lead = max(status, verdict.status, key=SEVERITY.index)
    return replace(
        verdict,
        status=lead,
        also=tuple(dict.fromkeys(s for s in (*milder, status) if s != lead)),
        reason="; ".join(x for x in (verdict.reason, reason) if x),
        source=source,
        working=verdict.working if working is None else working,
        rule=rule or verdict.rule,
    )
