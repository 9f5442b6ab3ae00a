"""The list of works for a screen reader: docutils calls its entries `doc-biblioentry`, which no list may hold."""


def _entries(app, pagename, templatename, context, doctree):
    if 'class="citation-list"' in context.get("body", ""):
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app):
    """Sphinx's entry point."""
    app.connect("html-page-context", _entries)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
