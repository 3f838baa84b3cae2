"""Which code a step can reach: what enters its fingerprint, so that an edit repeats the steps that it can change.

The source is analysed, not run. From a step's function on, every name that a definition uses is looked up: in its own
module, or where that module (or the function itself, lazily) has imported it from. The digest of a step is that of all
definitions reached in this way. Where the analysis cannot determine what is used (a module that is passed on as an
object, an import whose name is computed), everything that may be meant counts as used.
"""

import functools
import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path

from bids_app.derivatives.products import PRODUCTS
from bids_app.engine.source import Definition, Module, Symbol
from bids_app.model.settings import methods_of, section_names
from bids_app.qsm import registry

_PACKAGE = "bids_app"
#: The module of the methods by name: of those that a step can take from there, the chosen ones count.
_REGISTRY = registry.__name__
#: What else enters fingerprints by itself: declarations of products one by one, and settings by value.
_BOUNDARY = frozenset({("bids_app.derivatives.products", "PRODUCTS"), ("bids_app.model.settings", "Settings")})
#: The engine's part in every product.
_WRITER = ("bids_app.engine.writer", "write_product")


def _is_boundary(symbol: Symbol) -> bool:
    return symbol in _BOUNDARY or symbol[0] == _REGISTRY


class CodeIndex:
    """The source of a package, read module by module as it is asked for.

    Parameters
    ----------
    root : Path
        Folder of the package ``bids_app``.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[str, Module | None] = {}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        paths = (path.relative_to(self._root.parent).with_suffix("") for path in self._root.rglob("*.py"))
        return tuple(sorted(".".join(path.parts).removesuffix(".__init__") for path in paths))

    def _module(self, name: str) -> Module | None:
        """Return a module of the package, None where there is no such module."""
        if name not in self._modules:
            self._modules[name] = None
            if name == _PACKAGE or name.startswith(f"{_PACKAGE}."):
                place = self._root.parent.joinpath(*name.split("."))
                path = next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)
                self._modules[name] = Module(name, path) if path else None
        return self._modules[name]

    def _resolve(self, module: str, name: str) -> Symbol | None:
        """Return where a name of a module is defined; None outside the package."""
        for _ in range(20):  # a chain of re-exports
            source = self._module(module)
            if source is None:
                return None
            if not name or name in source.definitions:
                return module, name
            if name in source.imports:
                module, name = source.imports[name]
                continue
            inner = f"{module}.{name}"
            return (inner, "") if self._module(inner) is not None else (module, "")
        return module, ""

    def _used(self, module: Module, definition: Definition) -> Iterator[Symbol]:
        """Yield the symbols that a definition uses."""
        bound = module.imports | definition.imports
        for chain in definition.chains:
            first, *rest = chain
            if first in module.definitions and first not in definition.imports:
                yield module.name, first
            elif first in bound:
                symbol = self._resolve(*bound[first])
                while symbol is not None and not symbol[1] and rest:
                    symbol = self._resolve(symbol[0], rest.pop(0))
                if symbol is not None:
                    yield symbol
        for beginning in definition.computed:
            yield from ((name, "") for name in self._names if name.startswith(beginning))

    def reached(self, roots: list[Symbol]) -> set[Symbol]:
        """Return the symbols that can be reached from others (these among them), none behind the boundary."""
        left = [symbol for root in roots if (symbol := self._resolve(*root)) is not None]
        seen: set[Symbol] = set()
        while left:
            symbol = left.pop()
            module = self._module(symbol[0])
            if symbol in seen or module is None:
                continue
            seen.add(symbol)
            if _is_boundary(symbol):
                continue
            for definition in (*module.named(symbol[1]), *module.effects):
                left += self._used(module, definition)
        return seen

    def digest(self, symbols: set[Symbol]) -> str:
        """Return the digest of the text of symbols' definitions."""
        digest = hashlib.blake2b(digest_size=16)
        for name, symbol in sorted(symbol for symbol in symbols if not _is_boundary(symbol)):
            module = self._module(name)
            assert module is not None  # it was reached
            for definition in (*module.named(symbol), *module.effects):
                digest.update(f"{name}:{symbol}\n{definition.text}".encode())
        return digest.hexdigest()


def roots_of(function: Callable[..., object]) -> list[Symbol]:
    """Return where a function is defined; for one made by another function or ``partial``, where those are."""
    if isinstance(function, functools.partial):
        given = [value for value in (*function.args, *function.keywords.values()) if callable(value)]
        return [root for part in (function.func, *given) for root in roots_of(part)]
    name = getattr(function, "__qualname__", type(function).__qualname__).partition(".")[0]
    return [(function.__module__, "" if name == "<lambda>" else name)]


@cache
def _index() -> CodeIndex:
    return CodeIndex(Path(__file__).parents[1])


@contextmanager
def _without_collector() -> Iterator[None]:
    """Hold the garbage collector back, which would take as long as the parser: syntax trees are no garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def code_of(function: Callable[..., object], record: type | None = None) -> tuple[str, frozenset[str]]:
    """Return the digest of the code that a function over a class of records can reach, and the registries in it.

    The engine's own writer of products belongs to every step.
    """
    roots = roots_of(function)
    if record is not None:
        roots += [(record.__module__, record.__qualname__), _WRITER]
    with _without_collector():
        reached = _index().reached(roots)
        return _index().digest(reached), frozenset(name for module, name in reached if module == _REGISTRY)


@cache
def _methods(section: str, registries: frozenset[str]) -> dict[str, Callable[..., object]]:
    """Return the methods that a section of the settings chooses from and that some registries hold, by name."""
    if section not in section_names():
        return {}
    known = [value for name in registries if isinstance(value := getattr(registry, name, None), Mapping)]
    held = {id(method) for methods in known for method in methods.values()}
    everything = bool(registries & {"", "METHODS"})
    return {method.name: method.function for method in methods_of(section) if everything or id(method) in held}


def digest_of(
    function: Callable[..., object],
    record: type,
    keys: tuple[str, ...] = (),
    parameters: Mapping[str, Mapping[str, object]] | None = None,
) -> str:
    """Return the digest of what a step can do.

    Parameters
    ----------
    function : callable
        The step's function.
    record : type
        The class of what it runs over, whose methods it may call.
    keys : tuple of str
        The products that it makes, whose declarations count.
    parameters : mapping of mappings
        The sections of the settings that it reads: where the step takes methods from a registry, those count whose
        parameters are among them, as those of the chosen methods are (see ``Section.to_mapping``).
    """
    text, registries = code_of(function, record)
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for key in keys:
        digest.update(repr(PRODUCTS[key]).encode())
    for section, values in sorted((parameters or {}).items()):
        for name, method in sorted(_methods(section, registries).items()):
            if name in values:
                digest.update(code_of(method)[0].encode())
    return digest.hexdigest()
