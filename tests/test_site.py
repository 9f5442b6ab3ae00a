"""The site in both languages, built without running a cell: what stands in the head of its pages, and the way out."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import catalogues
import needs_kernel
import pytest
import yaml

from helpers.profile import ROOT

SITE, REPOSITORY = "https://example.org/listener", "https://github.com/someone/listener"
PAGES = catalogues.pages()
EXTENSIONS = os.pathsep.join([str(ROOT / "book" / "extensions"), str(ROOT / "src")])


class Head(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, wanted, **attrs):
        return [a for t, a in self.tags if t == wanted and all(a.get(k) == v for k, v in attrs.items())]

    def meta(self, name):
        return [a["content"] for a in self.all("meta") if name in (a.get("name"), a.get("property"))]


BUILD = """
import sys
from pathlib import Path
import chinese_site
from jupyter_book.sphinx import build_sphinx
root, output = chinese_site.ROOT, Path(sys.argv[1])
settings = {"nb_execution_mode": "off", "external_toc_path": "_toc.yml", "latex_individualpages": False}
config = {"noconfig": True, "path_config": root / "_config.yml", "confoverrides": settings | {"nitpicky": True}}
failed = build_sphinx(root, output / "html", warningiserror=True, keep_going=True, **config)
if failed:
    sys.exit(str(failed))
chinese_site.build(output, nb_execution_mode="off")
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of a site that is published at SITE; every warning is an error."""
    output = tmp_path_factory.mktemp("site")
    # a process of its own: what Sphinx registers stays in a process, and other tests build other sites
    env = os.environ | {"SITE_URL": SITE, "REPOSITORY_URL": REPOSITORY, "PYTHONPATH": EXTENSIONS}
    done = subprocess.run([sys.executable, "-c", BUILD, output], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output / "html"


@pytest.mark.parametrize("page", PAGES)
def test_each_page_says_its_language_and_links_to_the_other(site, page):
    for path, code, other in ((page, "en", f"zh/{page}"), (f"zh/{page}", "zh-CN", page)):
        head = Head(site / f"{path}.html")
        assert head.all("html")[0]["lang"] == code
        switch = next(a for a in head.all("a") if "language-switch" in a.get("class", ""))
        assert (site / path).parent.joinpath(switch["href"]).resolve() == (site / f"{other}.html").resolve()
        links = {a["hreflang"]: a["href"] for a in head.all("link", rel="alternate")}
        assert links == {
            "en": f"{SITE}/{page}.html",
            "x-default": f"{SITE}/{page}.html",
            "zh-CN": f"{SITE}/zh/{page}.html",
        }


@pytest.mark.parametrize("page", PAGES)
def test_each_page_can_be_found_and_cited(site, page):
    for path in (page, f"zh/{page}"):
        head = Head(site / f"{path}.html")
        assert head.all("link", rel="canonical")[0]["href"] == head.meta("og:url")[0] == f"{SITE}/{path}.html"
        assert len(head.meta("description")) == 1 and 20 <= len(head.meta("description")[0]) <= 300
        assert head.meta("og:title")[0] and head.meta("og:description") == head.meta("description")
        image = head.meta("og:image")[0]
        assert (site / image.removeprefix(f"{SITE}/")).is_file()
        source = next(p for p in (f"{page}.ipynb", f"{page}.md") if (ROOT / p).exists())
        assert f"{REPOSITORY}/edit/main/{source}" in [a.get("href") for a in head.all("a")]


def test_the_sitemap_names_every_page_in_both_languages(site):
    places = re.findall(r"<loc>(.+?)</loc>", (site / "sitemap.xml").read_text(encoding="utf-8"))
    assert sorted(places) == sorted(f"{SITE}/{where}{page}.html" for page in PAGES for where in ("", "zh/"))
    assert f"Sitemap: {SITE}/sitemap.xml" in (site / "robots.txt").read_text()


def test_no_page_asks_another_host_for_anything(site):
    loads = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
    for path in site.rglob("*.html"):
        for tag, attrs in Head(path).tags:
            if tag == "link" and attrs.get("rel") in ("alternate", "canonical"):
                continue  # named, not loaded
            assert not re.match(r"(https?:)?//", attrs.get(loads.get(tag, ""), "") or ""), (path, attrs)


def test_chinese_words_can_be_searched(site):
    index = (site / "zh" / "searchindex.js").read_text(encoding="utf-8")
    assert "Intl.Segmenter" in (site / "zh" / "_static" / "language_data.js").read_text(encoding="utf-8")
    assert json.dumps("适配器") in index and json.dumps("显存") in index


def test_sphinx_alone_builds_the_book_when_jupyter_book_ends(tmp_path):
    (tmp_path / "_config.yml").write_bytes((ROOT / "_config.yml").read_bytes())
    for folder in ("book", "src"):  # settings name files by where conf.py lies
        (tmp_path / folder).symlink_to(ROOT / folder)
    word = Path(sys.executable).parent
    config = [word / "jupyter-book", "config", "sphinx", ROOT, "--config", tmp_path / "_config.yml"]
    subprocess.run(config, check=True, capture_output=True)
    build = [word / "sphinx-build", "-c", tmp_path, "-W", "-n", "-q", "-D", "nb_execution_mode=off"]
    env = os.environ | {"PYTHONPATH": EXTENSIONS}
    done = subprocess.run([*build, ROOT, tmp_path / "html"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / "html" / f"{page}.html").is_file() for page in PAGES)


def test_workflows_run_targets_of_the_makefile_and_say_where_the_site_lies():
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text()))
    for path in (".github/workflows/pages.yml", ".gitlab-ci.yml"):
        text = (ROOT / path).read_text()
        assert yaml.safe_load(text)
        called = [target for line in re.findall(r"(?m)- (?:run: )?make ([\w -]+)", text) for target in line.split()]
        assert {"setup", "check", "test", "book", "browser"} == set(called) <= targets
        assert "SITE_URL: " in text and "REPOSITORY_URL: " in text


def test_only_a_widget_that_can_be_used_needs_a_kernel():
    models = {
        "bar": {"model_name": "HBoxModel", "state": {"children": ["IPY_MODEL_progress", "IPY_MODEL_text"]}},
        "progress": {"model_name": "FloatProgressModel", "state": {}},
        "text": {"model_name": "HTMLModel", "state": {}},
        "chat": {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_text", "IPY_MODEL_send"]}},
        "send": {"model_name": "ButtonModel", "state": {}},
    }
    usable = {name for name in [*models, "unknown"] if needs_kernel.can_be_used(name, models)}
    assert usable == {"chat", "send", "unknown"}
