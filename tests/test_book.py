"""The book: pages in order, no outputs in git, short cells, links that resolve, the note on every answer."""

import re
import statistics

import nbformat
import pytest
import yaml

from helpers.profile import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [*sorted(ROOT.glob("book/*.md")), *NOTEBOOKS, *sorted(ROOT.glob("notebooks/*.md")), ROOT / "README.md"]


def cells(path, kind):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def prose(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(c.source for c in cells(path, "markdown"))


def test_toc_holds_every_page_once_in_the_order_of_the_files():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    there = {str(p.relative_to(ROOT).with_suffix("")) for p in PAGES} - {"README"}
    assert len(listed) == len(set(listed)) and set(listed) == there
    numbered = [x for x in listed if re.match(r"notebooks/\d", x)]
    assert numbered == sorted(numbered) and len(numbered) == 8


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_carries_no_outputs_and_short_cells(path):
    code = cells(path, "code")
    assert not [c.id for c in code if c.outputs or c.execution_count]
    lines = sorted(len([x for x in c.source.split("\n") if x.strip()]) for c in code)
    assert statistics.median(lines) <= 4 and lines[int(0.9 * (len(lines) - 1))] <= 12 and lines[-1] <= 25


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_links_resolve_and_no_path_of_a_machine_is_named(path):
    text = prose(path)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target
    assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp)/", text)


@pytest.mark.parametrize("name", ["02_data", "05_export", "06_deploy", "07_evaluate", "08_improve"])
def test_pages_with_answers_say_what_the_model_is_not(name):
    text = prose(ROOT / "notebooks" / f"{name}.ipynb")
    assert "clinician" in text and "12356" in text
