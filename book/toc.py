"""The table of contents: appended to README, the front page, which a code host shows without it."""

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

CONTENTS = """

```{toctree}
:hidden:
:glob:
:caption: Part I, the argument

notebooks/0[0-8]*
```

```{toctree}
:hidden:
:glob:
:caption: Part II, use it

notebooks/09*
notebooks/10*
```

```{toctree}
:hidden:
:glob:
:caption: Appendix, and the words

notebooks/11*
notebooks/glossary
```

```{toctree}
:hidden:
:caption: Explore

book/explore
book/figures
```

```{toctree}
:hidden:
:glob:
:caption: Beside them

circuitlib/README
data/subjects/*/README
book/status
CHANGELOG
```
"""


def _append(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == app.config.root_doc:
        source[0] += CONTENTS


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("source-read", _append)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
