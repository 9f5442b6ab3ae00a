"""Translate the captions of the parts: sphinx-external-toc inserts them after Sphinx has translated the page."""

from pathlib import Path

from sphinx import addnodes
from sphinx.locale import init
from sphinx.transforms import SphinxTransform
from sphinx.util.i18n import docname_to_domain


class TranslateCaptions(SphinxTransform):
    """Sets `caption` of each toctree from the page's own catalogue."""

    default_priority = 110  # sphinx-external-toc inserts at 100

    def apply(self, **kwargs) -> None:
        """Change the tree in place; without a catalogue the captions stay English."""
        folders = [str(Path(self.env.srcdir) / folder) for folder in self.config.locale_dirs]
        domain = docname_to_domain(self.env.docname, self.config.gettext_compact)
        catalogue, found = init(folders, self.config.language, domain)
        for tree in self.document.findall(addnodes.toctree):
            if found and tree.get("caption"):
                tree["caption"] = catalogue.gettext(tree["caption"])


def setup(app):
    """Sphinx's entry point."""
    app.add_transform(TranslateCaptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
