"""The library's sources as pages, so that a link to a module shows it."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.parsers import Parser
from sphinx.util.typing import ExtensionMetadata


class PythonSource(Parser):
    """A page of a module: its path, and its text with numbered lines."""

    supported = ("python-source",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        env = document.settings.env
        path = env.doc2path(env.docname, base=False).as_posix()
        # In no table of contents: links lead here, and the search.
        env.metadata[env.docname]["orphan"] = True
        text = nodes.literal_block(inputstring, inputstring, language="python", linenos=True)
        document += nodes.section("", nodes.title(path, path), text, ids=["source"])


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_source_suffix(".py", "python-source")
    app.add_source_parser(PythonSource)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
