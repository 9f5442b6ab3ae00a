"""Files that a shell text writes itself: `cat > sft.yaml <<EOF`, lines, `EOF`."""

import re
from dataclasses import dataclass

OPENING = re.compile(r"(?<!<)<<(-?)[ \t]*(['\"]?)(\w+)\2(?!<)")
TARGET = re.compile(r">>?[ \t]*(['\"]?)([^\s'\"|;&<>]+)\1")
TEE = re.compile(r"\btee[ \t]+(?:-a[ \t]+)?(['\"]?)([^\s'\"|;&<>]+)\1")
SHELLS = re.compile(r"\s*(\S*/)?(ba|z|da)?sh\b|\s*(ssh|sbatch|srun|docker)\b")


@dataclass(frozen=True)
class File:
    """A file that the text writes: its lines, the number of the first one, and whether the shell expands `$NAME`."""

    text: str
    line: int
    expanded: bool


def taken_out(text: str, first_line: int) -> tuple[str, dict[str, File]]:
    """The text with empty lines where such files stood, and the files by name; scripts stay where they are."""
    lines, files = text.split("\n"), {}
    number = 0
    while number < len(lines):
        line = lines[number]
        opening = None if line.lstrip().startswith("#") else OPENING.search(line)
        number += 1
        if not opening:
            continue
        tabs, quote, word = opening.groups()
        strip = (lambda x: x.lstrip("\t")) if tabs else (lambda x: x)
        end = next((i for i in range(number, len(lines)) if strip(lines[i]) == word), len(lines))
        body = [strip(x) for x in lines[number:end]]
        lines[number - 1] = rest = line[: opening.start()] + line[opening.end() :]
        target = TARGET.search(rest) or TEE.search(rest)
        name = target[2] if target else ""
        if name:
            files[plain(name)] = File("\n".join(body), first_line + number, not quote)
        script = re.search(r"\.(sh|bash|slurm|sbatch)$", name) or (not name and SHELLS.match(rest))
        lines[number : end + 1] = [*(body if script else [""] * len(body)), *([""] if end < len(lines) else [])]
        number += 0 if script else len(body)
    return "\n".join(lines), files


def plain(name: str) -> str:
    """A file's name as it is compared: `./a.yaml` is `a.yaml`."""
    return name.removeprefix("./")
