"""Rows of a file, one at a time: JSONL or a JSON array, gzipped or not, UTF-8, UTF-16 or GB18030."""

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import UserError

LONGEST = 64 * 2**20  # bytes of one row; a longer line is no dialogue, and memory stays bounded
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_DECODER = json.JSONDecoder()


def written(path: Path) -> list[dict]:
    """The rows of a JSONL file of this book. A text may hold U+2028, at which `str.splitlines` would cut it."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield `(number, text, encoding)` for each row of the file.

    `number` is the 1-based line of a JSONL file, or the place in a JSON array. Lines end at a line feed only. A row
    that is neither UTF-8 nor GB18030 keeps its bytes as lone surrogates, and its encoding is `"bytes"`.

    Raises:
        UserError: no such file, one that is no file or cannot be read, an empty one, or a broken gzip file.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the path of a ShareGPT file in it.")
    if not path.is_file():
        problem = "is no ordinary file" if path.exists() else "does not exist"
        raise UserError(f"{path} {problem}; give the path of a ShareGPT file.")
    try:
        with _opened(path) as stream:
            first = stream.peek(4)[:4]
            if not first:
                raise UserError(f"{path} is empty; it needs one JSON dialogue a line, or a JSON array of them.")
            for mark, codec in UTF16.items():
                if first.startswith(mark):
                    text = io.TextIOWrapper(stream, encoding=codec, errors="replace", newline="\n")
                    yield from ((n, t, "utf-16") for n, t in enumerate(_lines_of_text(text), 1))
                    return
            if _is_array(stream, path):
                yield from _array(stream)
            else:
                yield from _lines(stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is a broken gzip file ({error}); compress it again.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check its permissions and its disk.") from None


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    return io.BufferedReader(gzip.open(path)) if packed else path.open("rb")


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str, str]]:
    number = 0
    while line := stream.readline(LONGEST):
        number += 1
        if not line.endswith(b"\n") and len(line) == LONGEST:
            while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass  # the row is refused anyway
        text, encoding = decoded(line.removesuffix(b"\n"))
        yield number, text, encoding


def _lines_of_text(text: io.TextIOBase) -> Iterator[str]:
    while line := text.readline(LONGEST):
        yield line.removesuffix("\n").replace("\x00", "")


def decoded(line: bytes) -> tuple[str, str]:
    """The text of a line and the encoding that it was in."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return line.decode(encoding), encoding
        except UnicodeDecodeError:
            pass
    return line.decode("utf-8", "surrogateescape"), "bytes"


def _is_array(stream: BinaryIO, path: Path) -> bool:
    """True if the file is one JSON array. A JSONL file may begin with a row that is a list, so its line counts."""
    start = stream.peek(65536).removeprefix(codecs.BOM_UTF8).lstrip()
    if not start.startswith(b"["):
        return False
    with _opened(path) as again:
        line = again.readline(LONGEST).removeprefix(codecs.BOM_UTF8)
        more = again.read(1)
    if not more or len(line) == LONGEST:
        return bool(re.match(rb"\s*\[\s*(?:[\]{]|$)", line))
    try:
        json.loads(decoded(line)[0])
    except (ValueError, RecursionError):
        return bool(re.match(rb"\s*\[\s*(?:\{|$)", line))
    return False


def _array(stream: BinaryIO) -> Iterator[tuple[int, str, str]]:
    """The elements of a JSON array. After one that is no JSON, reading goes on at the next that is a dialogue."""
    start = stream.peek(65536)
    encoding = "utf-8" if decoded(start[: start.rfind(b"\n") + 1 or -4])[1] == "utf-8" else "gb18030"
    text = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="\n")
    buffer, number, more = text.read(2**20).removeprefix("\ufeff").lstrip()[1:], 0, True
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        if more and (not buffer or len(buffer) < 2**16):
            piece = text.read(2**20)
            buffer, more = buffer + piece, bool(piece)
            continue
        if not buffer or buffer.startswith("]"):
            rest = buffer[1:].strip()
            if rest or more and (rest := text.read(2**20).strip()):
                yield number + 1, rest, encoding  # something after the array: a row that is no JSON
            return
        try:
            _, end = _DECODER.raw_decode(buffer)
            if end == len(buffer) and more:
                raise ValueError("may go on")
        except (ValueError, RecursionError):
            if more and len(buffer) < LONGEST:
                piece = text.read(2**20 + len(buffer))
                buffer, more = buffer + piece, bool(piece)
                continue
            end = _next_dialogue(buffer)
        number += 1
        yield number, buffer[:end].rstrip(" \t\r\n,"), encoding
        buffer = buffer[end:]


def _next_dialogue(buffer: str) -> int:
    for found in re.finditer(r"[,}]\s*(?=\{)", buffer):
        try:
            value, _ = _DECODER.raw_decode(buffer, found.end())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and value.keys() & {"conversations", "conversation", "messages", "output"}:
            return found.end()
    return len(buffer)
