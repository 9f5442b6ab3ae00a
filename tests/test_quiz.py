"""Questions of the pages: complete in both languages, answerable, and readable without JavaScript."""

import re
from html.parser import HTMLParser

import pytest
import quiz
import yaml

from helpers.profile import ROOT

PAGES = sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_notebook_has_its_questions_and_no_file_is_left_over():
    assert sorted(p.stem for p in quiz.FOLDER.glob("*")) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_questions_have_a_right_and_a_wrong_answer_and_a_reason_for_each_option(page):
    questions = quiz.load(page)
    assert 3 <= len(questions) <= 5 and len({q["id"] for q in questions}) == len(questions)
    for question in questions:
        assert set(question) == {"id", "ask", "options"} and re.fullmatch(r"[a-z0-9-]+", question["id"])
        rights = [option["right"] for option in question["options"]]
        assert set(map(type, rights)) == {bool} and set(rights) == {True, False} and 3 <= len(rights) <= 5
        texts = [question["ask"], *(o[k] for o in question["options"] for k in ("text", "why"))]
        for text in texts:
            assert set(text) == {"en", "zh"} and text["en"].strip() and text["zh"].strip()
            assert not CHINESE.search(text["en"]) and (CHINESE.search(text["zh"]) or text["en"] == text["zh"])
            assert sorted(re.findall("`[^`]+`", text["en"])) == sorted(re.findall("`[^`]+`", text["zh"]))
        for name in ("en", "zh"):
            options = [o["text"][name] for o in question["options"]]
            assert len(set(options)) == len(options)


def test_the_right_answer_is_not_always_in_the_same_place():
    first = [[o["right"] for o in q["options"]].index(True) for page in PAGES for q in quiz.load(page)]
    assert max(first.count(place) for place in set(first)) < 0.6 * len(first)


class Fields(HTMLParser):
    """Inputs that stand in a label, fieldsets with a legend, and everything that is opened and not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.labelled, self.inputs, self.legends, self.fieldsets = [], 0, 0, 0, 0

    def handle_starttag(self, tag, attrs):
        self.inputs += tag == "input"
        self.labelled += tag == "input" and "label" in self.open
        self.legends += tag == "legend" and self.open[-1] == "fieldset"
        self.fieldsets += tag == "fieldset"
        if tag != "input":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("page", PAGES)
def test_html_is_labelled_and_tells_the_answers_without_javascript(page, language):
    html, fields = quiz.as_html(page, language), Fields()
    fields.feed(html)
    options = [o for q in quiz.load(page) for o in q["options"]]
    assert not fields.open and fields.inputs == fields.labelled == len(options)
    assert fields.legends == fields.fieldsets == len(quiz.load(page))
    for option in options:
        assert quiz.inline(option["why"][language]) in html
    folded = re.findall(r"<details>.*?</details>", html, re.S)
    assert len(folded) == len(quiz.load(page))


def test_text_is_escaped():
    assert quiz.inline("a < b & `x<y>`") == "a &lt; b &amp; <code>x&lt;y&gt;</code>"


def test_the_page_ends_with_its_exercises_so_the_questions_come_before_them():
    import nbformat

    for page in PAGES:
        cells = nbformat.read(ROOT / f"notebooks/{page}.ipynb", as_version=4).cells
        headings = re.findall(r"^## (.+)$", "\n".join(c.source for c in cells if c.cell_type == "markdown"), re.M)
        assert headings[-1] in ("Exercises", "Done"), page


def test_files_are_plain_yaml_that_a_translator_can_edit():
    for page in PAGES:
        assert isinstance(yaml.safe_load((quiz.FOLDER / f"{page}.yml").read_text(encoding="utf-8")), list)
