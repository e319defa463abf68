"""The directive ``page``: one of the committed pages of ``figures/explore``, in a frame as high as the page."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

FOLDER = "figures/explore"


class PageFrame(SphinxDirective):
    """A page by its name; it tells the book its height (``static/frames.js``)."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        path = Path(self.env.srcdir, FOLDER, f"{name}.html")
        if not path.is_file():
            raise self.error(
                f"there is no {path.name} in {FOLDER}; `python -m circuitlib explore --output {FOLDER}` writes it"
            )
        # Extra files lie at the root of the book.
        source = "../" * self.env.docname.count("/") + path.name
        frame = f'<iframe class="page" src="{source}" title="{name}"></iframe>'
        alone = f'<p><a href="{source}">on a page of its own</a></p>'
        return [nodes.raw("", f"{frame}\n{alone}\n", format="html")]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("page", PageFrame)
    app.add_js_file("frames.js")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
