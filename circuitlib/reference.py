"""``python -m circuitlib.reference``: write ``circuitlib/README.md``, the short reference of the library.

Signatures and docstrings are read from the sources as they are written; nothing is imported, so that
the text does not depend on the Python that reads it. ``--check`` writes nothing and says, by its exit
status, whether the file is up to date.
"""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from circuitlib.provenance import written_whole

PACKAGE = Path(__file__).parent
REFERENCE = PACKAGE / "README.md"

MODULES = (
    "head_damage", "subjects", "tasks", "task_checks", "control", "products", "decoder", "ablation", "flops", "damage",
    "rewards", "env", "ppo", "oracle", "searchers", "evaluate", "detectors", "results",
)  # fmt: skip
"""In the order in which they stand on each other; those that are not there are left out."""

Definition = ast.ClassDef | ast.FunctionDef


def first_paragraph(docstring: str | None) -> str:
    """The first paragraph of a docstring on one line, Sphinx' marks as Markdown's."""
    paragraph = " ".join(inspect.cleandoc(docstring or "").split("\n\n")[0].split())
    paragraph = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", paragraph)
    return paragraph.replace("``", "`")


class _Module:
    """One source file: its tree, and the text that its nodes came from."""

    def __init__(self, path: Path) -> None:
        self.source = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.source)

    @property
    def definitions(self) -> list[Definition]:
        """Public classes and functions, in the order of the file."""
        return [
            node
            for node in self.tree.body
            if isinstance(node, Definition) and not node.name.startswith("_")
        ]

    def text(self, node: ast.AST) -> str:
        return " ".join((ast.get_source_segment(self.source, node) or "").split())

    def _parameter(self, name: str, annotation: ast.expr | None, default: ast.expr | None) -> str:
        written = name if annotation is None else f"{name}: {self.text(annotation)}"
        return written if default is None else f"{written} = {self.text(default)}"

    def _parameters(self, arguments: ast.arguments, bound: bool) -> str:
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
        pairs = list(zip(positional, [*defaults, *arguments.defaults], strict=True))[bound:]
        written = [self._parameter(a.arg, a.annotation, default) for a, default in pairs]
        if arguments.vararg:
            written.append(
                self._parameter(f"*{arguments.vararg.arg}", arguments.vararg.annotation, None)
            )
        elif arguments.kwonlyargs:
            written.append("*")
        for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            written.append(self._parameter(a.arg, a.annotation, default))
        if arguments.kwarg:
            written.append(
                self._parameter(f"**{arguments.kwarg.arg}", arguments.kwarg.annotation, None)
            )
        return ", ".join(written)

    def signature(self, node: Definition) -> str:
        """As one calls it: a function with what it returns, a class with what makes it."""
        if isinstance(node, ast.FunctionDef):
            returns = f" -> {self.text(node.returns)}" if node.returns else ""
            return f"{node.name}({self._parameters(node.args, False)}){returns}"
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if made:
            return f"class {node.name}({self._parameters(made[0].args, True)})"
        if any("dataclass" in self.text(decorator) for decorator in node.decorator_list):
            fields = [
                self._parameter(self.text(field.target), field.annotation, field.value)
                for field in node.body
                if isinstance(field, ast.AnnAssign)
                and not self.text(field.annotation).startswith("ClassVar")
            ]
            return f"class {node.name}({', '.join(fields)})"
        bases = ", ".join(self.text(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"

    def entry(self, node: Definition) -> str:
        """One item of the reference's list."""
        item = f"- `{self.signature(node)}`"
        if paragraph := first_paragraph(ast.get_docstring(node)):
            item += f"  \n  {paragraph}"
        methods = [
            f"`{method.name}`"
            for method in node.body
            if isinstance(node, ast.ClassDef)
            and isinstance(method, ast.FunctionDef)
            and not method.name.startswith("_")
        ]
        if methods:
            item += f"  \n  Has {', '.join(methods)}."
        return item


def _exported(tree: ast.Module) -> set[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and "__all__" in [
            target.id for target in node.targets if isinstance(target, ast.Name)
        ]:
            return set(ast.literal_eval(node.value))
    return None


def _section(name: str) -> str | None:
    """A module's, or a package's exports; none if it is not there."""
    path = PACKAGE / f"{name}.py"
    if path.is_file():
        head = _Module(path)
        files, exported = [head], _exported(head.tree)
    elif (PACKAGE / name).is_dir():
        head = _Module(PACKAGE / name / "__init__.py")
        files = [_Module(file) for file in sorted((PACKAGE / name).glob("[a-z]*.py"))]
        exported = _exported(head.tree)
    else:
        return None
    entries = [
        file.entry(node)
        for file in files
        for node in file.definitions
        if exported is None or node.name in exported
    ]
    about = first_paragraph(ast.get_docstring(head.tree))
    return "\n".join([f"## `circuitlib.{name}`", "", about, "", *entries])


def reference() -> str:
    """The text of the reference, in Markdown."""
    sections = [section for name in MODULES if (section := _section(name)) is not None]
    head = (
        "# The library\n\n"
        "Public classes and functions, in the order in which the modules stand on each other. Shapes, "
        "units and errors\nare in the docstrings. Written by `python -m circuitlib.reference`; do not edit."
    )
    return "\n\n".join([head, *sections]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the reference, or check it; the exit status is 1 when it is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m circuitlib.reference", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when the file is not up to date"
    )
    text = reference()
    if parser.parse_args(arguments).check:
        if REFERENCE.is_file() and REFERENCE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{REFERENCE.name} is not up to date; run `python -m circuitlib.reference`")
        return 1
    with written_whole(REFERENCE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
