"""Formulas as pictures in the page, drawn when the book is built: no script, no font and no request to read them."""

from xml.etree import ElementTree

import ziafont
import ziamath
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

SIZE = 18
"""Of the letters, in pixels."""

# Letters as paths: symbols would need ids, which several formulas on a page would share.
ziafont.config.svg2 = False


def _svg(formula: str, inline: bool) -> str:
    drawn = ziamath.Latex(formula, size=SIZE, color="currentColor", inline=inline)
    picture = drawn.svgxml()
    picture.set("role", "img")
    picture.set("aria-label", formula)
    picture.set("style", f"vertical-align: {drawn.getyofst():.1f}px")
    return ElementTree.tostring(picture, encoding="unicode")


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(f'<span class="formula">{_svg(node.astext(), inline=True)}</span>')
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{_svg(node.astext(), inline=False)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_html_math_renderer("svg", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
