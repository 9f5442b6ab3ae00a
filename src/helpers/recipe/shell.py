"""Shell text as words: quotes, line continuations, comments, variables, several commands."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError

SINGLE, DOUBLE, ARRAY = "\0", "\1", "\2"  # in front of a word: how it was quoted, or the name of an array
NUMBER = re.compile(r"-\d+$|-\d*\.\d+$")  # argparse takes these for values


@dataclass(frozen=True)
class Call:
    """One simple command. `tool` is '' when it calls neither ms-swift nor LMDeploy; `words` follow the tool's name."""

    tool: str
    line: int
    words: list[tuple[str, int]]
    env: dict = field(default_factory=dict)
    variables: dict = field(default_factory=dict)  # that the text had set when it came to this command


def is_flag(word: str) -> bool:
    """Whether argparse would take the word for a flag (a long dash pasted from a web page counts as meant for one)."""
    return len(word) > 1 and word[0] in "-–—" and not NUMBER.match(word) and " " not in word


def is_rest(word: str, after_a_value: bool) -> bool:
    """Whether the shell puts words here that the text does not show: `"$@"`, `$ARGS` behind a flag with its value."""
    plain = r"|\$\{?\w+\}?" if after_a_value else ""
    return re.fullmatch(r"\$(@|\*|\{\w+\[[@*]\]\})" + plain, word) is not None


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
    from .calls import tool_of

    found, variables, exported = [], {}, {}
    for raw in _split(text, first_line, path):
        if raw[0][0].startswith(ARRAY):
            variables[raw[0][0][1:]] = [w for word, _ in raw[1:] for w in _expand(word, variables)]
            continue
        words = [(w, line) for word, line in raw for w in _expand(word, variables)]
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
        inner = next((w for a, b, w in zip(words, words[1:], words[2:]) if _runs_text(a[0], b[0])), None)  # noqa: B905
        if inner:
            found += commands(*inner, path)
            continue
        tool, rest = tool_of(words)
        found.append(Call(tool, raw[0][1], rest if tool else words, {**exported, **env}, dict(variables)))
    return found


def _runs_text(program: str, option: str) -> bool:
    """Whether the next word is a shell text of its own: `bash -c "…"`."""
    return program.rsplit("/", 1)[-1] in ("bash", "sh", "zsh") and re.fullmatch(r"-[a-z]*c", option) is not None


def _expand(word: str, variables: dict) -> list[str]:
    """`$NAME`, `${NAME}` and `"${NAME[@]}"` that the text itself has set, in words; others stay as they are."""
    if word.startswith(SINGLE):  # single quotes: the shell expands nothing
        return [word[1:]]
    whole = re.fullmatch(r"\$\{(\w+)\[[@*]\]\}", word.removeprefix(DOUBLE))
    if whole and isinstance(variables.get(whole[1]), list):
        return variables[whole[1]]
    if word.startswith(DOUBLE):
        return [replaced(word[1:], variables)]
    full = replaced(word, variables)
    if full == word or re.search(r"\$\(|`", word):
        return [full]
    return full.split()  # without quotes it falls into words


def replaced(text: str, variables: dict) -> str:
    """A text with the values of its variables, where they are known."""
    known = {k: v for k, v in variables.items() if isinstance(v, str)}
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: known.get(m[1] or m[2], m[0]), text)


def _split(text: str, line: int, path: Path) -> list[list[tuple[str, int]]]:
    """Simple commands as lists of (word, line). A word that stood in quotes alone begins with SINGLE or DOUBLE."""
    done, current = [], []
    word, started, skip, i = None, line, False, 0

    def end_word() -> None:
        nonlocal word, skip
        if word is not None:
            current.extend([] if skip else [(word, started)])
            word, skip = None, False

    def end_command() -> None:
        nonlocal current
        end_word()
        if current:
            done.append(current)
        current = []

    while i < len(text):
        c = text[i]
        if c in "^`" and text.startswith("\n", i + 1):  # a line goes on in Windows' two shells
            end_word()
            line, i = line + 1, i + 2
            continue
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
            if word is None and (close + 1 == len(text) or text[close + 1].isspace()):
                inside = (DOUBLE if c == '"' else SINGLE) + inside
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
        if c == "(" and word and not current and re.fullmatch(r"\w+\+?=", word):  # NAME=(word word)
            close = text.find(")", i)
            close = len(text) if close < 0 else close
            inside = [w for one in _split(text[i + 1 : close], line, path) for w in one]
            done.append([(ARRAY + word.rstrip("+="), line), *inside])
            line, word, i = line + text.count("\n", i, close), None, close + 1
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
