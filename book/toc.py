"""The table of contents: appended to README, the front page, which a code host shows without it."""

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

CONTENTS = """

```{toctree}
:hidden:
:glob:
:caption: Notebooks

notebooks/*
```

```{toctree}
:hidden:
:caption: Explore

book/explore
book/figures
```

```{toctree}
:hidden:
:caption: Beside them

circuitlib/README
data/subjects/gpt2-mini/README
data/subjects/smollm2-135m-instruct-q4_1/README
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
