"""The directive ``figures``: every committed figure with the notebook that makes it; a link to a figure leads there."""

import os
import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata


def made_by(notebooks: Path) -> dict[str, dict[Path, int]]:
    """The notebooks that save each figure, by its name, each with the number of the cell."""
    makers: dict[str, dict[Path, int]] = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for name in re.findall(r'save_figure\([^"]*"(\w+)"', cell.source if cell.cell_type == "code" else ""):
                makers.setdefault(name, {})[path] = cell.execution_count
    return makers


def titles_of(readme: str) -> dict[str, str]:
    """What README's table calls each figure, by its name, in its order."""
    rows = (line for line in readme.splitlines() if line.startswith("| [") and "](figures/" in line)
    return {
        name: title
        for row in rows
        for title, name in re.findall(r"\[([^]]+)\]\(figures/(?:[\w.-]+/)?(\w+)\.png\)", row)
    }


class Figures(SphinxDirective):
    """The figures of a folder, given from the root of the checkout, titled and ordered as in README."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        (folder,), makers = self.arguments, made_by(root / "notebooks")
        titles = titles_of((root / "README.md").read_text(encoding="utf-8"))
        there = {path.stem: path for path in (root / folder).glob("*.png")}
        if not there or there.keys() - titles.keys():
            raise self.error(f"in {folder} there are no figures, or others than README's: {sorted(there)}")
        parts = []
        for path in (there[name] for name in titles if name in there):
            title, where = titles[path.stem], path.relative_to(root).as_posix()
            title = title[0].upper() + title[1:]
            links = ", ".join(f"[{maker.stem}](../notebooks/{maker.name})" for maker in makers.get(path.stem, {}))
            parts.append(f"({where})=\n**{title}** {links}\n\n![](../{where})\n")
        return self.parse_text_to_nodes("\n".join(parts))


class LinksToFigures(SphinxTransform):
    """A link to the file of a figure, or of a page to explore, would copy the file; it leads to where the book shows it instead."""

    default_priority = 10

    def apply(self) -> None:
        here = os.path.dirname(self.env.docname)
        for node in list(self.document.findall(addnodes.download_reference)):
            target = os.path.normpath(os.path.join(here, node["reftarget"]))
            if target.startswith("figures/") and target.endswith((".png", ".html")):
                options = {"refdomain": "std", "reftype": "ref", "reftarget": target, "refexplicit": True}
                node.replace_self(
                    addnodes.pending_xref("", *node.children, refdoc=self.env.docname, refwarn=True, **options)
                )


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("figures", Figures)
    app.add_transform(LinksToFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
