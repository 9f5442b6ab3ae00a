"""English and Chinese side by side: English at the root of the site, Chinese below `zh/`, a switch on every page."""

import logging
import os

import jieba
from sphinx.search.zh import SearchChinese

NAMES = {"en": "English", "zh-CN": "中文"}


class SearchSegmented(SearchChinese):
    """Sphinx splits Chinese text into words with jieba when it builds the index; here the browser splits the query."""

    js_splitter_code = """
    function splitQuery(query) {
      const words = window.Intl && Intl.Segmenter
        ? [...new Intl.Segmenter("zh", {granularity: "word"}).segment(query)]
            .filter((part) => part.isWordLike).map((part) => part.segment)
        : query.split(/[^\\p{Letter}\\p{Number}_]+/u);
      // Single characters are not in the index, and every word of a query must be found.
      return words.filter((word) => word.length > 1);
    }
    """


def language(config) -> str:
    """`en` or `zh`, the language of the site that is being built, from Sphinx's configuration."""
    return "zh" if (config.language or "en").startswith("zh") else "en"


def code(config) -> str:
    """The same as HTML names it: `en` or `zh-CN`."""
    return {"en": "en", "zh": "zh-CN"}[language(config)]


def paths(pagename: str) -> dict[str, str]:
    """Where a page lies in each language, from the root of the whole site."""
    return {"en": f"{pagename}.html", "zh-CN": f"zh/{pagename}.html"}


def _link(app, pagename, templatename, context, doctree):
    here = code(app.config)
    root = context["content_root"] + ("../" if here != "en" else "")
    other = next(name for name in NAMES if name != here)
    there = paths(pagename)
    context["other_language"] = {"code": other, "name": NAMES[other], "url": root + there[other]}
    site = os.environ.get("SITE_URL", "").rstrip("/")
    links = [{"code": name, "url": f"{site}/{path}" if site else root + path} for name, path in there.items()]
    context["alternates"] = [*links, {**links[0], "code": "x-default"}]


def setup(app):
    """Sphinx's entry point."""
    jieba.setLogLevel(logging.WARNING)  # it tells what it loads on stderr
    app.add_search_language(SearchSegmented)
    app.connect("html-page-context", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
