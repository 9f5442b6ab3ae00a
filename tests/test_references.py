"""References: what is cited is listed, and what is listed is cited; entries are complete."""

import re

import nbformat
import pytest
from pybtex.database import parse_file

from helpers.profile import ROOT

ENTRIES = parse_file(str(ROOT / "book/references.bib")).entries
PAGES = [*ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.md"), *ROOT.glob("notebooks/*.ipynb")]


def text(page):
    if page.suffix == ".md":
        return page.read_text(encoding="utf-8")
    return "\n".join(c.source for c in nbformat.read(page, as_version=4).cells if c.cell_type == "markdown")


def test_every_entry_is_cited_and_every_citation_has_an_entry():
    cited = {
        key for page in PAGES for keys in re.findall(r"\{cite:p\}`([^`]+)`", text(page)) for key in keys.split(",")
    }
    assert cited == set(ENTRIES)


@pytest.mark.parametrize("key", ENTRIES)
def test_entry_says_who_what_when_and_where_to_find_it(key):
    entry = ENTRIES[key]
    assert entry.persons["author"] and entry.fields["title"] and 1900 < int(entry.fields["year"]) < 2100
    assert {"journal", "booktitle", "howpublished"} & set(entry.fields)
    arxiv = re.search(r"arXiv:(\S+)", entry.fields.get("howpublished", ""))
    assert not arxiv or entry.fields["url"].endswith(arxiv[1])


def test_the_list_is_one_that_a_screen_reader_knows():
    import citation_list

    made = {"body": '<div role="list" class="citation-list"><div class="citation" role="doc-biblioentry">x</div></div>'}
    citation_list._entries(None, "", "", made, None)
    assert made["body"].count('role="listitem"') == 1 and "biblioentry" not in made["body"]
