"""A recipe against the installed packages, flag by flag."""

import re
from collections import Counter
from dataclasses import asdict, dataclass, replace

from . import classes, hubs, renames, rules, tools, verbs
from .classes import MISSING
from .commands import Command
from .flags import BAD, HARMFUL, NOT_GIVEN, OK, SEVERITY, UNKNOWN, Verdict, judge, worse
from .looks import View
from .shell import quoted

CUT_OFF = (
    "the shell never passes this on: the line above does not end in a backslash, or a comment or a space follows it"
)

OVERRIDES = "it takes the place of what the file says"


@dataclass(frozen=True)
class Checked:
    """A command, its verdicts, and its arguments in the installed tool's own names."""

    command: Command
    verdicts: tuple[Verdict, ...]
    view: View

    @property
    def clean(self) -> bool:
        return all(v.status == OK for v in self.verdicts)


def check(command: Command) -> Checked:
    """Ask the installed packages about every flag of a command."""
    written, (command, about_verb) = command, verbs.today(command)
    if not tools.known(command.tool):
        view = View(command.tool, {}, command.kind, command.env)
        return Checked(written, (verbs.unchecked(command),), view)
    verdicts, args, positional = _flags(command)
    if "model" not in args and hubs.of_type(args.get("model_type", ("",))[0]):
        args["model"] = (hubs.of_type(args["model_type"][0]),)
    view = View(command.tool, args, command.kind, command.env, tuple(positional))
    verdicts = _positional(view, command, verdicts)
    whole = all(v.flag != "FILE" for v in verdicts)  # what a file adds that is not here nobody can say
    verdicts = _apply_rules(view, command, verdicts, whole)
    if whole:
        verdicts = _construct(view, command, verdicts)
    return Checked(written, (*about_verb, *verdicts), view)


def _flags(command: Command) -> tuple[list[Verdict], dict[str, tuple[str, ...]], list[str]]:
    """Verdicts flag by flag, arguments in today's names, and words that belong to no flag."""
    rows: list[Verdict] = []
    args: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    in_file = set()
    positional = list(command.positional)
    for number, flag in enumerate((*command.flags, *command.cut_off)):
        verdict, now, surplus = judge(command, flag)
        if flag in command.cut_off:
            verdict = worse(verdict, HARMFUL, CUT_OFF, "the shell")
        for dest, values in now.items():
            if dest in args and flag.name != names[dest] and tools.takes_many(command.tool, dest):
                values = (*args[dest], *values)  # two old names of one argument
                verdict = replace(verdict, working=" ".join((tools.show(command.tool, dest), *map(quoted, values))))
            elif dest in in_file and number >= command.from_file:
                verdict = replace(verdict, reason="; ".join(x for x in (verdict.reason, OVERRIDES) if x))
            elif args.get(dest, values) != values:
                verdict = worse(verdict, HARMFUL, "given twice, and the last one wins", "argparse")
            args[dest], names[dest] = values, flag.name
            in_file |= {dest} if number < command.from_file else set()
        rows.append(verdict)
        positional += surplus
    return rows, args, positional


def as_dicts(checked: list[Checked]) -> list[dict]:
    """Every verdict as a plain dict, for JSON and tables."""
    return [asdict(v) for c in checked for v in c.verdicts]


def counts(checked: list[Checked]) -> dict[str, int]:
    """How many verdicts there are of each status."""
    found = Counter(v.status for c in checked for v in c.verdicts)
    return {s: found[s] for s in SEVERITY if found[s]}


def _apply_rules(view: View, command: Command, verdicts: list[Verdict], whole: bool) -> list[Verdict]:
    for rule in rules.TABLE:
        found = rule.when(view) if view.tool in rule.tools else False
        if not found:
            continue
        flag = rule.flag
        reason, working = rules.sentence(rule, view, found)
        working = None if working == rules.KEPT else working
        source = rule.source if rule.source.startswith("importlib") else f"{tools.installed(view.tool)}, {rule.source}"
        at = next((i for i in reversed(range(len(verdicts))) if _dest(view, verdicts[i]) == flag), None)
        if at is None and whole:
            made = Verdict(view.tool, command.line, NOT_GIVEN, tools.show(view.tool, flag), OK, "", source, "")
            verdicts.append(worse(made, rule.status, reason, source, working or "", rule.name))
        elif at is not None:
            verdicts[at] = worse(verdicts[at], rule.status, reason, source, working, rule.name)
    return verdicts


def _dest(view: View, verdict: Verdict) -> str:
    """The argument that a verdict is about, by its flag or by the flag that works."""
    words = verdict.working.split()
    for name in (words[0] if words else "", verdict.flag):
        if name.startswith("-"):
            action = tools.option(view.tool, name.lstrip("-").split("=", 1)[0].replace("-", "_"))
            if action is not None:
                return action.dest
    table = renames.SWIFT if view.tool.startswith("swift") else renames.LMDEPLOY
    return table.get(verdict.flag.lstrip("-").replace("-", "_"), ("",))[0]


def _positional(view: View, command: Command, verdicts: list[Verdict]) -> list[Verdict]:
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


def _construct(view: View, command: Command, verdicts: list[Verdict]) -> list[Verdict]:
    """Let the tool's own class look at all arguments together; what it says goes to the flag that it names."""
    args = dict(view.args)
    known = {v.rule for v in verdicts}
    for name in ("packing", "padding_free"):
        if f"{name.replace('_', '-')}-needs-flash-attention" in known:
            args.pop(name)  # already said
    if "vllm-mode" in known:
        args["vllm_mode"] = ("colocate",)
    for name in ("model_type", "ref_model_type"):
        if f"{name.replace('_', '-')}-unknown" in known:
            args.pop(name)
    for _ in range(8):
        said = classes.construct(view.tool, args, view.env)
        if not said:
            return verdicts
        named = next((d for d in sorted(args, key=len, reverse=True) if re.search(_spoken(d), said)), None)
        source = f"{tools.installed(view.tool)}, its own class"
        at = next((i for i, v in enumerate(verdicts) if named and _dest(view, v) == named), None)
        if at is None:
            about = "--model" if "--model" in said else ""
            status = HARMFUL if said.startswith(MISSING.split("{")[0]) else BAD  # of this machine, or of the recipe
            made = Verdict(view.tool, command.line, NOT_GIVEN, about, status, said, source, "")
            return [*verdicts, made]
        if verdicts[at].status not in (BAD, HARMFUL) or said not in verdicts[at].reason:
            verdicts[at] = worse(verdicts[at], BAD, said, source, "" if verdicts[at].status == OK else None)
        args.pop(named)
    return verdicts


def _spoken(name: str) -> str:
    """A pattern for an argument's name as a sentence may write it."""
    return rf"\b{name.replace('_', '[ _-]')}\b"
