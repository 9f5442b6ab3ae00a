"""Shell text as words: quotes, line continuations, comments, variables, several commands."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError

NUMBER = re.compile(r"-\d+$|-\d*\.\d+$")  # argparse takes these for values
WRAPPERS = {"nohup", "time", "sudo", "env", "exec", "$", "%%bash", "stdbuf"}
VERBS = {
    "swift": set(
        "sft pt infer merge-lora web-ui deploy rollout rlhf sample export eval app "
        "dpo orpo simpo kto cpo app-ui llm-infer llm-sft".split()
    ),
    "megatron": {"sft", "pt", "rlhf", "export"},
}


@dataclass(frozen=True)
class Call:
    """One simple command. `tool` is '' when it calls neither ms-swift nor LMDeploy; `words` follow the tool's name."""

    tool: str
    line: int
    words: list[tuple[str, int]]
    env: dict = field(default_factory=dict)


def is_flag(word: str) -> bool:
    """Whether argparse would take the word for a flag (a long dash pasted from a web page counts as meant for one)."""
    return len(word) > 1 and word[0] in "-–—" and not NUMBER.match(word) and " " not in word


def quoted(word: str) -> str:
    """A word as a shell must be given it; what the reader is to fill in, variables and `$(…)` stay as they are."""
    if re.search(r"\$\(|`", word) and "'" not in word:
        return word if re.fullmatch(r"\$\([^()]*\)", word) else f'"{word}"'
    plain = word and not re.search(r"[\s'\"();&|`\\]", word) and not word.startswith("#")
    return word if plain else shlex.quote(word)


def commands(text: str, first_line: int, path: Path) -> list[Call]:
    """Every simple command of a shell text.

    Raises:
        UserError: a quote is opened and never closed.
    """
    found, variables, exported = [], {}, {}
    for raw in _split(text, first_line, path):
        words = [(_expand(w, variables), line) for w, line in raw]
        env = {}
        while words and re.match(r"[A-Za-z_]\w*=", words[0][0]):
            name, _, value = words.pop(0)[0].partition("=")
            env[name] = value
        if words and words[0][0] == "export":
            for word, _ in words[1:]:
                name, given, value = word.partition("=")
                if given:
                    variables[name] = exported[name] = value
            continue
        if not words:
            variables |= env
            continue
        tool, rest = _tool(words)
        found.append(Call(tool, raw[0][1], rest if tool else words, {**exported, **env}))
    return found


def _expand(word: str, variables: dict) -> str:
    """`$NAME` and `${NAME}` that the text itself has set; others stay as they are."""
    if word.startswith("\0"):  # single quotes: the shell expands nothing
        return word[1:]
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: variables.get(m[1] or m[2], m[0]), word)


def _tool(words: list[tuple[str, int]]) -> tuple[str, list[tuple[str, int]]]:
    """Name of the tool that a simple command calls, and the words behind it; '' if it is another program."""
    plain = [w for w, _ in words]
    first = next((i for i, w in enumerate(plain) if w not in WRAPPERS and not re.match(r"[A-Za-z_]\w*=", w)), 0)
    for i, word in enumerate(plain):
        name = word.lstrip("!").rsplit("/", 1)[-1]
        after = plain[i + 1] if i + 1 < len(plain) else ""
        script = re.search(r"swift[./]cli[./](\w+?)(?:\.py)?$", word)
        if script and script[1] != "main":
            return f"swift {script[1].replace('_', '-')}", words[i + 1 :]
        if script or name in VERBS:
            verb = after.replace("_", "-")
            if verb in VERBS.get(name, VERBS["swift"]) or (i == first and verb and not is_flag(verb)):
                return f"{'swift' if script else name} {verb}", words[i + 2 :]
        if name == "lmdeploy" and after:
            if after == "serve" and i + 2 < len(plain):
                return f"lmdeploy serve {plain[i + 2]}", words[i + 3 :]
            if i == first and not is_flag(after):
                return f"lmdeploy {after}", words[i + 2 :]
    return "", []


def _split(text: str, line: int, path: Path) -> list[list[tuple[str, int]]]:
    """Simple commands as lists of (word, line). A word that stood in single quotes alone begins with NUL."""
    done, current = [], []
    word, started, skip = None, line, False
    i = 0

    def end_word() -> None:
        nonlocal word, skip
        if word is not None and not skip:
            current.append((word, started))
        if word is not None:
            word, skip = None, False

    def end_command() -> None:
        nonlocal current
        end_word()
        if current:
            done.append(current)
        current = []

    while i < len(text):
        c = text[i]
        if c == "\\" and i + 1 < len(text):
            if text[i + 1] == "\n":
                line += 1
            else:
                word, started = (word or "") + text[i + 1], started if word is not None else line
            i += 2
            continue
        if c in "'\"":
            close = _closing(text, i, c)
            if close < 0:
                raise UserError(f"recipe {path} line {line}: a quote {c} is opened and never closed.")
            inside = text[i + 1 : close]
            if c == '"':
                inside = re.sub(r'\\([\\"$`\n])', lambda m: "" if m[1] == "\n" else m[1], inside)
            elif word is None and (close + 1 == len(text) or text[close + 1].isspace()):
                inside = "\0" + inside
            word, started = (word or "") + inside, started if word is not None else line
            line += text.count("\n", i, close)
            i = close + 1
            continue
        if c == "#" and word is None:
            while i < len(text) and text[i] != "\n":
                i += 1
            continue
        if text.startswith("$(", i) or c == "`":
            close = text.find(")" if c == "$" else "`", i + 2)
            close = len(text) - 1 if close < 0 else close
            if text[i + 1 : close].lstrip().startswith("#"):  # `# a comment` in the middle of a command
                line += text.count("\n", i, close)
                i = close + 1
                continue
            word, started = (word or "") + text[i : close + 1], started if word is not None else line
            line += text.count("\n", i, close)
            i = close + 1
            continue
        if c in "<>":
            if word is not None and word.isdigit():
                word = None
            end_word()
            while i < len(text) and text[i] in "<>&|":
                i += 1
            skip = True  # the file behind it
            continue
        if c in "\n;&|()":
            end_command()
            line += c == "\n"
        elif c.isspace():
            end_word()
        else:
            word, started = (word or "") + c, started if word is not None else line
        i += 1
    end_command()
    return done


def _closing(text: str, start: int, quote: str) -> int:
    i = start + 1
    while i < len(text):
        if text[i] == "\\" and quote == '"':
            i += 1
        elif text[i] == quote:
            return i
        i += 1
    return -1
