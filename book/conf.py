"""The web book: README, the notebooks as they are committed, the library's sources. `make book` builds it in `runs/book`."""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project, release = _PROJECT["name"], _PROJECT["version"]
extensions = ["myst_nb", "captions", "figures", "formulas", "pages", "sources", "status", "toc"]

# Pages lie where their sources lie, so that the links between them hold.
root_doc = "README"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "book/*.md",
    "circuitlib/README.md",
    "circuitlib/**.py",
    "data/subjects/gpt2-mini/README.md",
    "data/subjects/smollm2-135m-instruct-q4_1/README.md",
    "notebooks/*.ipynb",
    "notebooks/glossary.md",
]
exclude_patterns = [".*", "**/.*", "**/__pycache__", "data/cache", "data/results", "figures", "runs", "tests"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
html_math_renderer = "svg"
highlight_language = "none"

nitpicky = True

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_extra_path = [str(path) for path in (ROOT / "figures" / "explore").iterdir() if path.suffix in (".html", ".png")]
html_additional_pages = {"index": "index.html"}
templates_path = ["templates"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
# Excerpts would be fetched, which browsers refuse of files; what is found, and where, is in the index.
html_show_search_summary = False
html_theme_options = {"navigation_with_keys": True}
