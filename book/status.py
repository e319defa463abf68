"""The directive ``status``: what the committed notebooks and manifests themselves show of how they were made."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from executed import RECORD, words
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata


def _table(columns: Sequence[str], rows: Iterator[Sequence[object]]) -> str:
    """A Markdown table; columns that end in a colon are of numbers."""
    head = [column.removesuffix(":") for column in columns]
    rule = ["--:" if column.endswith(":") else "---" for column in columns]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (head, rule, *rows))


def _title(notebook: nbformat.NotebookNode) -> str:
    return str(notebook.cells[0].source).partition("\n")[0].removeprefix("# ")


def notebooks(folder: Path) -> Iterator[tuple[object, ...]]:
    """Of each notebook: its title as a link, code cells, how many have been executed, whether in order, outputs that are
    figures, tables, text and errors, and whether it was executed again and identical, in how many seconds."""
    record = recorded(folder.parent)
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        counts = [cell.execution_count for cell in cells if cell.execution_count]
        outputs = [output for cell in cells for output in cell.outputs]
        kinds = Counter(kind for output in outputs for kind in output.get("data", {}))
        of_type = Counter(output.output_type for output in outputs)
        in_order = "yes" if counts == list(range(1, len(cells) + 1)) else "no"
        shown = kinds["image/png"], kinds["text/html"], of_type["stream"], of_type["error"]
        yield (
            f"[{_title(notebook)}](../notebooks/{path.name})",
            len(cells),
            len(counts),
            in_order,
            *shown,
            *words(record, path),
        )


def makings(results: Path) -> Iterator[tuple[object, ...]]:
    """Each combination of folder, processor and versions that manifests record, and how many results it made."""
    found: Counter[tuple[str, str, str]] = Counter()
    for path in sorted(results.rglob("*.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if "seal" in manifest:
            provenance = manifest["provenance"]
            where = path.parent.relative_to(results).as_posix()
            versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items())
            found[f"`{where}`", _processor(provenance), versions] += 1
    for (where, processor, versions), count in sorted(found.items()):
        yield where, count, processor, versions


KERNELS = {"Sandybridge": "AVX", "Haswell": "AVX2", "Zen": "AVX2", "SkylakeX": "AVX-512", "Cooperlake": "AVX-512"}
"""What OpenBLAS, by which numpy multiplies, calls its kernels, and the instructions that they use."""


def _processor(provenance: dict[str, Any]) -> str:
    """What is recorded: the machine, and the instructions that products were made with."""
    known = []
    if machine := provenance.get("machine"):
        known.append(f"{machine['processor']}, {machine['cores']} cores")
    if processor := provenance.get("processor"):
        numpys = KERNELS.get(processor["numpy"], processor["numpy"])
        known.append(f"torch with {processor['torch']}, numpy with {numpys}")
    return "; ".join(known).replace("AVX512", "AVX-512") or "not recorded"


def seconds(results: Path) -> str:
    """The seconds of a whole run that are recorded, as a table."""
    recorded: dict[str, float] = json.loads((results / "seconds.json").read_text(encoding="utf-8"))
    return _table(("part", "seconds:"), iter(recorded.items()))


def recorded(root: Path) -> dict[str, Any]:
    """What was found when the notebooks were executed again; nothing where there is no record of it."""
    path = root / RECORD
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record


def executed_on(record: dict[str, Any]) -> str:
    """With what, and on what, they were."""
    if not record:
        return "The checkout holds no record of an execution; `make executed` makes one."
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return f"Executed on {_processor(record)}; versions: {versions}."


class Status(SphinxDirective):
    """One of the tables, ``notebooks``, ``executed``, ``seconds`` or ``results``, in the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        results = root / "data" / "results"
        for path in (*(root / "notebooks").glob("*.ipynb"), *results.rglob("*.json")):
            self.env.note_dependency(str(path))
        columns = (
            "notebook",
            "code cells:",
            "executed:",
            "in order",
            "figures:",
            "tables:",
            "texts:",
            "errors:",
            "identical",
            "seconds:",
        )
        tables = {
            "notebooks": lambda: _table(columns, notebooks(root / "notebooks")),
            "executed": lambda: executed_on(recorded(root)),
            "seconds": lambda: seconds(results),
            "results": lambda: _table(("results in", "results:", "processor", "versions"), makings(results)),
        }
        (what,) = self.arguments
        if what not in tables:
            raise self.error(f"status must be of one of {', '.join(tables)}, not {what!r}")
        return self.parse_text_to_nodes(tables[what]())


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("status", Status)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
