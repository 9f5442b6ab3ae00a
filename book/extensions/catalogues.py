"""The Chinese catalogues: one .po a page, in the order of the page, without dates and line numbers.

`python book/extensions/catalogues.py` brings `book/locale/` up to date with the English pages: a new sentence comes in
without a translation, one that is gone takes its translation with it, nothing is guessed from similar sentences.
"""

import os
import tempfile
from pathlib import Path

import polib
import yaml
from jupyter_book.sphinx import build_sphinx

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = ROOT / "book" / "locale" / "zh_CN" / "LC_MESSAGES"
HEADER = {
    "Project-Id-Version": "From Llama to Listener",
    "Language": "zh_CN",
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=UTF-8",
    "Content-Transfer-Encoding": "8bit",
}


def pages(source: Path = ROOT) -> list[str]:
    """Names of all pages in the order of the table of contents, like `notebooks/02_data`."""
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def sentences(source: Path = ROOT) -> dict[str, list[str]]:
    """What is to be translated, by page and in its order. Nothing is executed; raises RuntimeError if Sphinx fails."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"nb_execution_mode": "off", "external_toc_path": "_toc.yml", "latex_individualpages": False}
        failed = build_sphinx(
            source,
            Path(folder) / "pot",
            noconfig=True,
            path_config=source / "_config.yml",
            builder="gettext",
            quiet=True,
            confoverrides=settings,
        )
        if failed:
            raise RuntimeError(f"no catalogues could be made: {failed}")
        made = {page: polib.pofile(str(Path(folder) / "pot" / f"{page}.pot")) for page in pages(source)}
        return {page: [entry.msgid for entry in pot] for page, pot in made.items()}


def catalogue(page: str) -> polib.POFile:
    """The catalogue of a page, empty if it has none yet."""
    path = CATALOGUES / f"{page}.po"
    return polib.pofile(str(path), wrapwidth=0) if path.exists() else polib.POFile(wrapwidth=0)


def update() -> None:
    """Write every catalogue anew and print how much of it waits for a translator."""
    for page, wanted in sentences().items():
        old = {entry.msgid: entry for entry in catalogue(page) if not entry.obsolete}
        new = polib.POFile(wrapwidth=0)
        new.metadata = HEADER
        for text in wanted:
            entry = old.get(text) or polib.POEntry(msgid=text)
            new.append(polib.POEntry(msgid=text, msgstr=entry.msgstr, tcomment=entry.tcomment, flags=entry.flags))
        path = CATALOGUES / f"{page}.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        new.save(str(path))
        print(f"{path.relative_to(ROOT)}: {len(new.untranslated_entries())} of {len(new)} to translate")


if __name__ == "__main__":
    os.chdir(ROOT)
    update()
