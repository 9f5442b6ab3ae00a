"""The dialogues from every source that a profile has, side by side."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .. import dialogues, llama3, models, prompt, template
from ..profile import ROOT, Profile
from .cases import Row, cases
from .sources import EXPORTED, META, SERVED, TRAINED, as_trained, exported, metas, served


def compare(profile: Profile, folder: Path) -> list[Row]:
    """Every dialogue of `cases` with its ids from every source that this profile has.

    Args:
        folder: an exported model, or what `as_exported` makes of a base model's tokenizer.
    """
    own, system, rows = template.load(profile), profile.sft["system"] or "", []
    for name, messages in cases().items():
        ids, note = {TRAINED: as_trained(own, messages)}, ""
        if special_tokens(own.tokenizer, " ".join(m["content"] for m in messages)):
            ids, note = {}, "never trained: ms-swift would read these as role marks, and no training row holds one"
        ids |= {EXPORTED: exported(folder, messages), SERVED: served(folder, messages)}
        if llama3.is_shape_of(profile.model):
            ids[META] = metas(messages, system)
        rows.append(Row(name, messages, ids, note))
    return rows


@contextlib.contextmanager
def as_exported(profile: Profile) -> Iterator[Path]:
    """A folder with the base model's tokenizer and configuration as page 05 exports them; it ends with the block."""
    base = llama3.tokenizer_dir() if llama3.is_shape_of(profile.model) else models.fetch(profile.model)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "model"
        shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors*", "*.bin"))
        prompt.write(folder, profile.sft)
        yield folder


@contextlib.contextmanager
def exported_or_like_it(run) -> Iterator[tuple[Path, str]]:
    """The exported model of a run and what it is; before there is one, the base model's tokenizer `as_exported`."""
    if (run.merged / "tokenizer.json").is_file():
        yield run.merged, "the exported model"
    else:
        with as_exported(run.profile) as folder:
            yield folder, "the base model's tokenizer, as page 05 exports it"


def special_tokens(tokenizer, text: str) -> list[str]:
    """Special tokens of a tokenizer that stand in a text as letters."""
    return sorted({t.content for t in tokenizer.added_tokens_decoder.values() if t.content in text})


def trained_rows_with_marks(profile: Profile) -> tuple[int, int]:
    """How many rows of the profile's own data hold a special token of its tokenizer, and how many rows there are."""
    tokenizer, bad, rows = template.load(profile).tokenizer, 0, []
    for name in ("train", "val"):
        rows += dialogues.read(ROOT / profile.data[name])[0]
    for row in rows:
        bad += bool(special_tokens(tokenizer, " ".join(m["content"] for m in row["messages"])))
    return bad, len(rows)
