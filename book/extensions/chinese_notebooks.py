"""The notebooks in Chinese for JupyterLab: same code cells, prose from the catalogues. `make notebooks-zh` makes them.

They lie in `notebooks_zh/`, beside `notebooks/`, so that every path and link in them holds.
"""

import os
import re
import shutil
from pathlib import Path

import nbformat
from catalogues import ROOT, catalogue, pages

FOLDER = ROOT / "notebooks_zh"
# What may stand on a line before a sentence that is translated as a whole, and after it.
BEFORE = re.compile(r"(?:[ \t>]|#{1,6} |[-*+] |\d+\. |: |:{3,}\{[\w-]+\} |`{3,}\{[\w-]+\} |:\w+: |.*\|[ \t]*)*")
AFTER = re.compile(r"[ \t]*(?:\|.*)?")


def translate(text: str, translations: dict[str, str]) -> str:
    """Put Chinese in the place of each English sentence of a Markdown text, longest first; the rest stays."""
    done = []

    def put(found: re.Match) -> str:
        start = text.rfind("\n", 0, found.start()) + 1
        end = text.find("\n", found.end())
        before, after = text[start : found.start()], text[found.end() : end if end >= 0 else None]
        whole = BEFORE.fullmatch(before) and AFTER.fullmatch(after)
        if not whole and not (before.endswith("![") and after.startswith("](")):
            return found[0]
        done.append(translations[found[0]])
        return f"\ue000{len(done) - 1}\ue001"  # so that no shorter sentence is found in it

    for sentence in sorted(translations, key=len, reverse=True):
        text = re.sub(re.escape(sentence), put, text)
    return re.sub("\ue000(\\d+)\ue001", lambda mark: done[int(mark[1])], text)


def make(folder: Path = FOLDER) -> list[Path]:
    """Write every page of `notebooks/` in Chinese into a folder, with the settings of its figures; return the files."""
    folder.mkdir(exist_ok=True)
    shutil.copy(ROOT / "notebooks" / "matplotlibrc", folder)
    made = []
    for page in pages():
        source = next(path for end in ("ipynb", "md") if (path := ROOT / f"{page}.{end}").exists())
        if source.parent.name != "notebooks":
            continue
        translations = {entry.msgid: entry.msgstr or entry.msgid for entry in catalogue(page)}
        made.append(folder / source.name)
        if source.suffix == ".md":
            made[-1].write_text(translate(source.read_text(encoding="utf-8"), translations), encoding="utf-8")
            continue
        notebook = nbformat.read(source, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = translate(cell.source, translations)
        nbformat.write(notebook, made[-1])
    return made


if __name__ == "__main__":
    os.chdir(ROOT)
    print("\n".join(str(path.relative_to(ROOT)) for path in make()))
