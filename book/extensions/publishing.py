"""What finds and cites a page: description, social card, canonical address, sitemap, edit buttons.

Two variables of the environment say where the book is published, and nothing else does; CONTRIBUTING.md, "To publish".
`SITE_URL` is where its pages can be read: sitemap, canonical address and card exist only with it.
`REPOSITORY_URL` is where its source lies: the buttons to edit and to see the source exist only with it.
"""

import os
from pathlib import Path
from xml.sax.saxutils import escape

from docutils import nodes
from languages import code, paths

CARD = "_static/card.png"


def _addresses(app, config):
    site, repository = os.environ.get("SITE_URL", "").rstrip("/"), os.environ.get("REPOSITORY_URL", "").rstrip("/")
    if site:
        config.html_baseurl = f"{site}/" if code(app.config) == "en" else f"{site}/zh/"
    if repository:
        config.html_theme_options |= {
            "repository_url": repository,
            "repository_branch": os.environ.get("REPOSITORY_BRANCH", "main"),
            "repository_provider": "gitlab" if "gitlab" in repository else "github",
            "use_repository_button": True,
            "use_edit_page_button": True,
            "use_source_button": True,
        }


def _description(doctree: nodes.document) -> str:
    """The first paragraphs of a page, until they say something; at most 300 characters."""
    text = ""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section) and len(text) < 40:
            text = f"{text} {' '.join(paragraph.astext().split())}".strip()
    return text if len(text) <= 300 else text[:299] + "…"


def _describe(app, pagename, templatename, context, doctree):
    context["described"] = []
    if doctree is None:
        return
    site, title, text = os.environ.get("SITE_URL", "").rstrip("/"), context["title"], _description(doctree)
    title = app.env.titles[pagename].astext() if pagename in app.env.titles else title
    fields = {
        "description": text,
        "og:type": "article",
        "og:site_name": app.config.html_title,
        "og:title": title,
        "og:description": text,
        "og:locale": code(app.config).replace("-", "_"),
        "twitter:card": "summary_large_image" if site else "summary",
    }
    if site:
        fields |= {"og:url": f"{site}/{paths(pagename)[code(app.config)]}", "og:image": f"{site}/{CARD}"}
    context["described"] = list(fields.items())


def _sitemap(app, failed):
    site = os.environ.get("SITE_URL", "").rstrip("/")
    if failed or not site or code(app.config) != "en" or app.builder.name != "html":
        return
    lines = []
    for page in sorted(app.env.found_docs):
        there = {name: escape(f"{site}/{path}") for name, path in paths(page).items()}
        links = "".join(f'<xhtml:link rel="alternate" hreflang="{n}" href="{url}"/>' for n, url in there.items())
        lines += [f"<url><loc>{url}</loc>{links}</url>" for url in there.values()]
    spaces = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:xhtml="http://www.w3.org/1999/xhtml"'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {spaces}>\n' + "\n".join(lines) + "\n</urlset>\n"
    Path(app.outdir, "sitemap.xml").write_text(text, encoding="utf-8")
    Path(app.outdir, "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {site}/sitemap.xml\n")


def setup(app):
    """Sphinx's entry point."""
    app.connect("config-inited", _addresses)
    app.connect("html-page-context", _describe)
    app.connect("build-finished", _sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
