"""What the statements at the top of a module refer to, from its source."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: A name in a module; an empty name stands for the whole module.
Symbol = tuple[str, str]


@dataclass
class Definition:
    """A statement at the top of a module, and what it refers to."""

    text: str
    #: Dotted names as they are spelled: ``("np", "exp")``, ``("read_image",)``.
    chains: set[tuple[str, ...]] = field(default_factory=set)
    #: What imports inside the statement bind, by local name.
    imports: dict[str, Symbol] = field(default_factory=dict)
    #: Modules whose import the statement computes: beginnings of their names.
    computed: set[str] = field(default_factory=set)


def _read(definition: Definition, node: ast.stmt, package: str) -> None:
    """Collect what a statement refers to; what functions say of their arguments' types has no part in results."""
    left: list[ast.AST] = [node]
    while left:
        inner = left.pop()
        if isinstance(inner, ast.Name):
            definition.chains.add((inner.id,))
        elif isinstance(inner, ast.Attribute):
            left += _read_attribute(definition, inner)
        elif isinstance(inner, ast.Import | ast.ImportFrom):
            definition.imports.update(_bound(inner))
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            left += (*inner.decorator_list, inner.args, *inner.body)
        elif isinstance(inner, ast.AnnAssign):  # a field's type: a record holds others, whose methods are called
            left += [part for part in (inner.value, *_types(inner.annotation)) if part is not None]
        elif not isinstance(inner, ast.arg):
            if isinstance(inner, ast.Call) and inner.args and _name(inner.func) in ("import_module", "__import__"):
                definition.computed.add(_beginning(inner.args[0]) or package)
            left += ast.iter_child_nodes(inner)


def _read_attribute(definition: Definition, node: ast.Attribute) -> list[ast.AST]:
    """Note ``a.b.c``; return what is left to read where it begins with anything but a name."""
    names: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        names.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name):
        return [inner]
    definition.chains.add((inner.id, *reversed(names)))
    return []


def _types(annotation: ast.expr) -> Iterator[ast.AST]:
    """Yield an annotation's parts, those that are spelled as texts too."""
    yield annotation
    for part in ast.walk(annotation):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with suppress(SyntaxError):
                yield ast.parse(part.value, mode="eval").body


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _beginning(argument: ast.expr) -> str:
    """Return what is known of a computed name: how it begins."""
    first = argument.values[0] if isinstance(argument, ast.JoinedStr) and argument.values else argument
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _bound(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Symbol]]:
    """Yield the local names that an import binds, with what they stand for."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, (node.module or "", alias.name)
        elif alias.asname:
            yield alias.asname, (alias.name, "")
        else:
            yield alias.name.partition(".")[0], (alias.name.partition(".")[0], "")


class Module:
    """The definitions and imports at the top of one module."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        text = path.read_text(encoding="utf-8")
        self._lines = text.splitlines(keepends=True)
        self.definitions: dict[str, list[Definition]] = {}
        self.imports: dict[str, Symbol] = {}
        self.effects: list[Definition] = []  # statements that bind nothing
        for node in ast.parse(text).body:
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imports.update(_bound(node))
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            for inner in node.body:
                self._add(inner)
            return
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        definition = Definition("".join(self._lines[start - 1 : node.end_lineno]))
        _read(definition, node, self.package)
        names = list(_names_of(node))
        for name in names:
            self.definitions.setdefault(name, []).append(definition)
        if not names:
            self.effects.append(definition)

    def named(self, name: str) -> list[Definition]:
        """Return the definitions of a name; all of the module's where it is empty."""
        if name:
            return self.definitions.get(name, [])
        return [definition for listed in self.definitions.values() for definition in listed]


def _names_of(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds in its module; functions and comprehensions bind others inside."""
    left: list[ast.AST] = [node]
    while left:
        inner = left.pop()
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield inner.name
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
        elif isinstance(inner, ast.comprehension):
            left += [inner.iter, *inner.ifs]
        else:
            left += ast.iter_child_nodes(inner)
