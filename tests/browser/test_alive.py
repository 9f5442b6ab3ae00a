"""Explorers and questions in a real browser, from files on disk: keyboard, both languages, both themes, a phone.

It needs Chromium, so it stands apart: `make browser`. The pages are built by Sphinx alone, without running a notebook.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import quiz
from axe_playwright_python.sync_playwright import Axe

from helpers.explorers import FOLDER
from helpers.profile import ROOT
from helpers.vram.cards import GIB
from helpers.vram.formula import PeakFormula

PAGE, LANGUAGES = "07_evaluate", ("en", "zh_CN")
TOOLS = "# Try\n\n" + "\n".join(f"```{{explorer}} {n}\n```\n" for n in ("vram", "sampling", "lengths"))
THEME = ":root { --pst-color-text-base: CanvasText; --pst-color-text-muted: GrayText; color-scheme: light dark; }"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A small site a language: one page with the tools, one with questions. Returns the folder of both."""
    root = tmp_path_factory.mktemp("site")
    source = root / "source"
    (source / "notebooks").mkdir(parents=True)
    (source / "book").mkdir()
    (source / "index.md").write_text(f"# Start\n\n```{{toctree}}\nbook/try_it\nnotebooks/{PAGE}\n```\n")
    (source / "book" / "try_it.md").write_text(TOOLS + "\n## Answers\n\n```{quiz-progress}\n```\n")
    (source / "notebooks" / f"{PAGE}.md").write_text("# Page\n\n## Body\n\nText.\n\n## Done\n\nThe end.\n")
    for language in LANGUAGES:
        settings = {
            "extensions": "myst_parser,explorer,quiz",
            "language": language,
            "html_theme": "basic",
            "html_static_path": ROOT / "book" / "_static",
        }
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-C", source, root / language]
        command += [word for key, value in settings.items() for word in ("-D", f"{key}={value}")]
        # a process of its own: what Sphinx registers stays in a process, and other tests build other sites
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def visit(site, chromium):
    """Open a page: `visit(language, path, **context)`. No error of the page and no request to a host may be left."""
    contexts, wrong = [], []

    def go(language: str, path: str, **context):
        contexts.append(chromium.new_context(**context))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
        page.goto((site / language / f"{path}.html").as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert not wrong


def stored(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_slider_moved_by_keyboard_tells_the_number_that_python_computes(visit, language):
    page, data = visit(language, "book/try_it"), stored("vram")
    tool = page.locator("[data-explorer=vram]")
    answer = tool.locator("[aria-live=polite]")
    before = answer.inner_text()
    tool.locator("input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    tokens, share = 7 * 3072, round(100 * data["supervised_share"]) / 100
    wanted = PeakFormula(data["coefficients"]["16-bit base"]).peak(tokens, round(tokens * share), 3072) / GIB
    assert f"{wanted:.2f} GiB" in answer.inner_text() != before
    assert ("预测" if language == "zh_CN" else "predicted") in answer.inner_text()


@pytest.mark.parametrize("language", LANGUAGES)
def test_tokens_are_drawn_and_top_k_1_always_gives_the_likeliest(visit, language):
    page = visit(language, "book/try_it")
    tool = page.locator("[data-explorer=sampling]")
    tool.locator("input[type=range]").nth(1).focus()
    page.keyboard.press("ArrowRight")
    tool.get_by_role("button").click()
    first = stored("sampling")["beginnings"]["exam"]["tokens"][0][0]
    assert tool.locator("[role=status]").last.inner_text() == " | ".join([first] * 10)


@pytest.mark.parametrize("language", LANGUAGES)
def test_questions_are_answered_by_keyboard_kept_counted_and_forgotten(visit, language):
    page, name = visit(language, f"notebooks/{PAGE}"), "zh" if language == "zh_CN" else "en"
    question = quiz.load(PAGE)[0]
    right = [o["right"] for o in question["options"]].index(True)
    wrong = next(i for i, o in enumerate(question["options"]) if not o["right"])
    form = page.locator("form[data-quiz]").first
    form.locator("input").nth(wrong).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert "✗" in form.locator(".quiz-verdict").inner_text()
    why = [quiz.inline(o["why"][name]) for o in question["options"]]
    told = form.locator("details").inner_html()
    assert why[wrong] in told and form.locator("details li:visible").count() == 1  # the right answer is not given away
    form.locator("input").nth(right).check()
    form.get_by_role("button").click()
    assert "✓" in form.locator(".quiz-verdict").inner_text()
    page.reload()
    assert "✓" in page.locator(".quiz-verdict").first.inner_text()
    page.goto(page.url.replace(f"notebooks/{PAGE}", "book/try_it"))
    row = page.locator(f"[data-progress='{PAGE}']")
    count = str(len(quiz.load(PAGE)))
    assert sorted(c for c in row.locator("span").inner_text() if c.isdigit()) == sorted(["1", count])
    page.locator(".quiz-progress button").click()
    assert "1" not in row.locator("span").inner_text()


@pytest.mark.parametrize("language", LANGUAGES)
def test_several_right_answers_must_all_be_chosen(visit, language):
    questions = quiz.load(PAGE)
    number = next(i for i, q in enumerate(questions) if sum(o["right"] for o in q["options"]) > 1)
    form = visit(language, f"notebooks/{PAGE}").locator("form[data-quiz]").nth(number)
    rights = [i for i, o in enumerate(questions[number]["options"]) if o["right"]]
    for step, i in enumerate(rights, 1):
        form.locator("input").nth(i).check()
        form.get_by_role("button").click()
        assert ("✓" in form.locator(".quiz-verdict").inner_text()) is (step == len(rights))


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_javascript_the_answers_unfold_and_the_tools_say_what_they_need(visit, language):
    page = visit(language, f"notebooks/{PAGE}", java_script_enabled=False)
    folded = page.locator("form[data-quiz] details")
    assert folded.count() == len(quiz.load(PAGE)) and folded.first.locator("summary").is_visible()
    assert page.locator("section#check-yourself ~ section#done").count() == 1
    assert "JavaScript" in visit(language, "book/try_it", java_script_enabled=False).inner_text("[data-explorer=vram]")


@pytest.mark.parametrize("path", ["book/try_it", f"notebooks/{PAGE}"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_wider_than_a_phone_and_axe_finds_nothing_serious(visit, language, path):
    for scheme in ("light", "dark"):
        page = visit(language, path, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page.add_style_tag(content=THEME)
        for place in page.locator(".explorer, .quiz-question").all():
            box = place.bounding_box()
            assert box["x"] + box["width"] <= 390
            assert place.evaluate("e => e.scrollWidth <= e.clientWidth")
        found = Axe().run(page, context={"include": [[".explorer"], [".quiz-question"], [".quiz-progress"]]})
        bad = [v["id"] for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
        assert not [b for b in bad if b != "color-contrast"], bad  # colours are the theme's, not of this small site


def test_the_files_of_the_pages_are_the_books_own(site):
    for name in ("explorers.js", "explorers.css", "quiz.js"):
        assert (site / "en" / "_static" / name).read_bytes() == (ROOT / "book/_static" / name).read_bytes()
        assert Path(ROOT / "book/_static" / name).stat().st_size < 20_000
