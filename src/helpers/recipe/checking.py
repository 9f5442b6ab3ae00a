"""A recipe against the installed packages, flag by flag."""

import re
from collections import Counter
from dataclasses import asdict, dataclass, replace

from . import renames, rules, tools
from .reading import Command, Flag

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


@dataclass(frozen=True)
class Checked:
    """A command, its verdicts, and its arguments in the installed tool's own names."""

    command: Command
    verdicts: tuple[Verdict, ...]
    view: rules.View

    @property
    def clean(self) -> bool:
        return all(v.status == OK for v in self.verdicts)


def check(command: Command) -> Checked:
    """Ask the installed packages about every flag of a command."""
    if not tools.known(command.tool):
        view = rules.View(command.tool, {}, command.kind, command.env)
        return Checked(command, (_unknown_tool(command),), view)
    rows: list[tuple[Flag, Verdict]] = []
    args: dict[str, tuple[str, ...]] = {}
    positional = list(command.positional)
    for flag in command.flags:
        verdict, now, surplus = _flag(command, flag)
        rows.append((flag, verdict))
        for dest, values in now.items():
            if args.get(dest, values) != values:
                rows[-1] = (flag, _worse(verdict, HARMFUL, "given twice, and the last one wins", "argparse"))
            args[dest] = values
        positional += surplus
    view = rules.View(command.tool, args, command.kind, command.env, tuple(positional))
    verdicts = [v for _, v in rows]
    verdicts += [_cut_off(command, f) for f in command.cut_off]
    verdicts = _positional(view, command, verdicts)
    verdicts = _apply_rules(view, command, verdicts)
    verdicts = _construct(view, command, verdicts)
    return Checked(command, tuple(verdicts), view)


def as_dicts(checked: list[Checked]) -> list[dict]:
    """Every verdict as a plain dict, for JSON and tables."""
    return [asdict(v) for c in checked for v in c.verdicts]


def counts(checked: list[Checked]) -> dict[str, int]:
    """How many verdicts there are of each status."""
    found = Counter(v.status for c in checked for v in c.verdicts)
    return {s: found[s] for s in SEVERITY if found[s]}


def _flag(command: Command, flag: Flag) -> tuple[Verdict, dict, tuple[str, ...]]:
    """Verdict, arguments in today's names, and words behind the flag that are not its own."""
    tool, source = command.tool, tools.installed(command.tool)
    table, gone = (
        (renames.SWIFT, renames.SWIFT_GONE) if tool.startswith("swift") else (renames.LMDEPLOY, renames.LMDEPLOY_GONE)
    )
    made = Verdict(tool, flag.line, flag.words[0].split("=", 1)[0], " ".join(flag.values), OK, "", source, "")
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
            status = BAD if tool.startswith("swift") else OK
            return replace(made, status=status, reason=reason, working=_words(tool, answer.dest, values)), now, surplus
        short = answer.option and flag.name != answer.dest and not flag.name.startswith("no_")
        reason = f"short for {answer.option}" if short else ""
        working = " ".join(flag.words[: len(flag.words) - len(surplus)])
        return replace(made, reason=reason, working=working), {answer.dest: answer.values}, surplus
    if flag.name in table:
        return _renamed(made, flag, *table[flag.name])
    if answer.unknown:
        if flag.words[0][:1] in "–—" or flag.words[0].lstrip("-")[:1] in "–—":
            right = "--" + flag.name
            return (
                replace(made, status=UNKNOWN, reason="a long dash is no flag; write two hyphens", working=right),
                {},
                (),
            )
        near = tools.nearest(tool, flag.name)
        if flag.name in gone:
            return replace(made, status=UNKNOWN, reason=f"gone: {gone[flag.name]}"), {}, ()
        why = f"{answer.refusal}" + (f"; nearest is {near}" if near else "")
        return replace(made, status=UNKNOWN, reason=why, working=" ".join([near, *flag.values]) if near else ""), {}, ()
    if any("$" in v for v in flag.values) and answer.dest:  # the shell knows the value, we do not
        reason = "the value comes from the shell and was not checked"
        return replace(made, reason=reason, working=" ".join(flag.words)), {}, ()
    values, _ = _new_values(tool, answer.dest, flag.values)
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
    if not tool.startswith("swift"):
        return None, ""
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


def _words(tool: str, dest: str, values: tuple[str, ...]) -> str:
    return " ".join([tools.show(tool, dest), *values]) if values else ""


def _worse(verdict: Verdict, status: str, reason: str, source: str, working: str | None = None, rule="") -> Verdict:
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


def _apply_rules(view: rules.View, command: Command, verdicts: list[Verdict]) -> list[Verdict]:
    for rule in rules.TABLE:
        found = rule.when(view) if view.tool in rule.tools else False
        if not found:
            continue
        flag = rule.flag or _package_flag(view, found)
        reason, working = rules.sentence(rule, view, found)
        source = rule.source if rule.source.startswith("importlib") else f"{tools.installed(view.tool)}, {rule.source}"
        if rule.name == "lmdeploy-path-decides":
            at = next((i for i, v in enumerate(verdicts) if v.flag == "MODEL"), None)
        else:
            at = next((i for i in reversed(range(len(verdicts))) if _dest(view, verdicts[i]) == flag), None)
        if at is None:
            made = Verdict(view.tool, command.line, NOT_GIVEN, tools.show(view.tool, flag), OK, "", source, "")
            verdicts.append(_worse(made, rule.status, reason, source, working, rule.name))
        else:
            verdicts[at] = _worse(verdicts[at], rule.status, reason, source, working, rule.name)
    return verdicts


def _package_flag(view: rules.View, package: str) -> str:
    return next(n for (n, v), p in rules.PACKAGES.items() if p == package and view.one(n, "true").lower() == v)


def _dest(view: rules.View, verdict: Verdict) -> str:
    """The argument that a verdict is about, by its flag or by the flag that works."""
    words = verdict.working.split()
    for name in (words[0] if words else "", verdict.flag):
        if name.startswith("-"):
            action = tools.option(view.tool, name.lstrip("-").split("=", 1)[0].replace("-", "_"))
            if action is not None:
                return action.dest
    table = renames.SWIFT if view.tool.startswith("swift") else renames.LMDEPLOY
    return table.get(verdict.flag.lstrip("-").replace("-", "_"), ("",))[0]


def _positional(view: rules.View, command: Command, verdicts: list[Verdict]) -> list[Verdict]:
    """Words without a flag: ms-swift takes a YAML file in front, LMDeploy the model."""
    source, words = tools.installed(view.tool), list(view.positional)
    made = Verdict(view.tool, command.line, "", "", OK, "", source, "")
    if view.tool.startswith("lmdeploy"):
        if not words:
            said = "the following arguments are required: model_path"
            return [replace(made, flag=NOT_GIVEN, value="MODEL", status=BAD, reason=said, working="./model"), *verdicts]
        verdicts = [replace(made, flag="MODEL", value=words[0], working=words[0]), *verdicts]
        words = words[1:]
    elif words and re.search(r"\.(ya?ml|json)$", words[0]):
        said = "the file is not here, so what it holds was not checked"
        verdicts = [replace(made, flag="FILE", value=words.pop(0), status=BAD, reason=said), *verdicts]
    said = "remaining_argv" if view.tool.startswith("swift") else "unrecognized arguments"
    return verdicts + [replace(made, flag=w, status=UNKNOWN, reason=f"{said}: a word without a flag") for w in words]


def _construct(view: rules.View, command: Command, verdicts: list[Verdict]) -> list[Verdict]:
    """Let the tool's own class look at all arguments together; what it says goes to the flag that it names."""
    args = dict(view.args)
    known = {v.rule for v in verdicts}
    if "packing-needs-flash-attention" in known:
        args.pop("packing")  # already said
    for _ in range(8):
        said = tools.construct(view.tool, args)
        if not said:
            return verdicts
        named = next((d for d in sorted(args, key=len, reverse=True) if re.search(rf"\b{re.escape(d)}\b", said)), None)
        source = f"{tools.installed(view.tool)}, its own class"
        at = next((i for i, v in enumerate(verdicts) if named and _dest(view, v) == named), None)
        if at is None:
            about = "--model" if "--model" in said else ""
            made = Verdict(view.tool, command.line, NOT_GIVEN, about, BAD, said, source, "")
            return [*verdicts, made]
        if verdicts[at].status not in (BAD, HARMFUL) or said not in verdicts[at].reason:
            verdicts[at] = _worse(verdicts[at], BAD, said, source, "" if verdicts[at].status == OK else None)
        args.pop(named)
    return verdicts


def _cut_off(command: Command, flag: Flag) -> Verdict:
    reason = (
        "the shell never passes this on: the line above does not end in a backslash, or a comment or a space follows it"
    )
    words = " ".join(flag.words)
    value = " ".join(flag.values)
    return Verdict(command.tool, flag.line, flag.words[0].split("=")[0], value, HARMFUL, reason, "the shell", words)


def _unknown_tool(command: Command) -> Verdict:
    verb = command.tool.split()[-1]
    instead = {
        "dpo": "swift rlhf --rlhf_type dpo",
        "orpo": "swift rlhf --rlhf_type orpo",
        "simpo": "swift rlhf --rlhf_type simpo",
        "kto": "swift rlhf --rlhf_type kto",
        "cpo": "swift rlhf --rlhf_type cpo",
        "app-ui": "swift app",
        "llm-sft": "swift sft",
        "llm-infer": "swift infer",
        "gradio": "lmdeploy serve api_server",
    }.get(verb, "")
    source = (
        tools.installed(command.tool) if command.tool.split()[0] in ("swift", "lmdeploy") else command.tool.split()[0]
    )
    reason = f"`{command.tool}` is gone" if instead else f"`{command.tool}` is not a command that is checked here"
    return Verdict(command.tool, command.line, command.tool, "", UNKNOWN, reason, source, instead)
