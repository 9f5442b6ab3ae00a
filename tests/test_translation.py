"""Every sentence of the book is there in Chinese, and says it with the same code, links and emphasis."""

from collections import Counter

import catalogues
import chinese_notebooks
import nbformat
import polib
import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from mdit_py_plugins.substitution import substitution_plugin

from helpers.profile import ROOT

# Pages that still wait for a translator. Remove a page once it is whole: then every new sentence needs one.
WAITING: set[str] = set()
PAGES = catalogues.pages()
MARKDOWN = MarkdownIt().use(dollarmath_plugin).use(myst_role_plugin).use(substitution_plugin)
# Tokens that must be equal in both languages; of emphasis only how often.
KEPT = {"code_inline", "math_inline", "myst_role", "substitution_inline", "html_inline"}


def markup(text: str) -> Counter:
    """What a sentence holds besides words."""
    found = Counter()
    for token in MARKDOWN.parseInline(text)[0].children:
        if token.type in KEPT:
            found[token.type, str(token.meta), token.content] += 1
        elif token.type in ("link_open", "image"):
            found[token.type, token.attrs.get("href"), token.attrs.get("src")] += 1
        elif token.type in ("strong_open", "em_open", "s_open"):
            found[token.type] += 1
    return found


def complaints(english: str, entry: polib.POEntry | None) -> str | None:
    """Why a sentence is not translated well, or None."""
    if entry is None:
        return "not in the catalogue: run make catalogues"
    if entry.fuzzy:
        return "fuzzy"
    if not entry.msgstr.strip():
        return "not translated"
    before, after = markup(english), markup(entry.msgstr)
    if before != after:
        return f"markup: lacks {list(before - after)}, has {list(after - before)} too much"
    return None


@pytest.fixture(scope="session")
def english():
    """The sentences of all pages, as Sphinx finds them now."""
    return catalogues.sentences()


@pytest.mark.parametrize("page", PAGES)
def test_page_is_translated(english, page):
    catalogue = catalogues.catalogue(page)
    there = {entry.msgid: entry for entry in catalogue}
    gone = sorted(there.keys() - set(english[page]))
    wrong = {text: why for text in english[page] if (why := complaints(text, there.get(text)))}
    if page in WAITING:
        waiting = [e for e in catalogue if not e.msgstr] or [text for text in english[page] if text not in there]
        assert waiting, f"{page} is whole: take it out of WAITING"
    else:
        assert not catalogue.obsolete_entries() and not gone, f"run make catalogues, these are gone: {gone}"
        assert not wrong, "\n".join(f"{why}: {text}" for text, why in wrong.items())


def test_waiting_pages_are_pages():
    assert not WAITING - set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_what_is_translated_keeps_its_markup(page):
    bad = {e.msgid: complaints(e.msgid, e) for e in catalogues.catalogue(page) if e.msgstr or e.fuzzy}
    assert not {text: why for text, why in bad.items() if why}


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("**Run** it", "**运行。**它"),  # no bold: the stars stand between a full stop and a letter
        ("Run `a b`", "运行 `a-b`"),
        ("See [here](a.md)", "见[这里](b.md)"),
        ("A *word*", "一个词"),
        ("See {term}`loss`", "见 {term}`损失`"),
    ],
)
def test_changed_markup_is_found(english, chinese):
    assert "markup" in complaints(english, polib.POEntry(msgid=english, msgstr=chinese))


def test_missing_empty_and_fuzzy_are_found():
    assert complaints("a", None) and complaints("a", polib.POEntry(msgid="a"))
    assert complaints("a", polib.POEntry(msgid="a", msgstr="甲", flags=["fuzzy"]))
    assert complaints("a", polib.POEntry(msgid="a", msgstr="甲")) is None


@pytest.fixture(scope="session")
def chinese(tmp_path_factory):
    """A copy of the book whose notebooks are the Chinese ones."""
    root = tmp_path_factory.mktemp("chinese")
    for name in ("_config.yml", "_toc.yml", "book", "src", "data", "README.md"):
        (root / name).symlink_to(ROOT / name)
    chinese_notebooks.make(root / "notebooks")
    return root


def test_chinese_notebooks_have_the_same_code(chinese):
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        english, made = nbformat.read(path, 4), nbformat.read(chinese / "notebooks" / path.name, 4)
        assert [(c.id, c.cell_type) for c in english.cells] == [(c.id, c.cell_type) for c in made.cells]
        for one, other in zip(english.cells, made.cells, strict=True):
            assert one.cell_type == "markdown" or one == other
        assert english.metadata == made.metadata


def test_chinese_notebooks_say_every_sentence_in_chinese(chinese, english):
    found = catalogues.sentences(chinese)
    for page in (page for page in PAGES if page.startswith("notebooks/")):
        words = {entry.msgid: entry.msgstr for entry in catalogues.catalogue(page)}
        assert set(found[page]) == {words[text] for text in english[page]}, page


def test_a_sentence_is_translated_as_a_whole_or_not_at_all():
    words = {"Data": "数据", "Data and more": "数据与其他", "two": "二"}
    text = "# Data\n\nData and more\n\nData is plural\n\n| Data | two |\n\n- two\n\n![two](Data.svg)"
    assert chinese_notebooks.translate(text, words) == (
        "# 数据\n\n数据与其他\n\nData is plural\n\n| 数据 | 二 |\n\n- 二\n\n![二](Data.svg)"
    )
