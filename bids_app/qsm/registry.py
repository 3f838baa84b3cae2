"""The registries of methods, by kind: found in the modules of each family, so that a new file is a new method."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, ModuleType
from typing import TypeVar, cast

from bids_app.qsm.method import (
    KINDS,
    Background,
    Correction,
    FieldFitter,
    GradientCorrection,
    Inversion,
    Kind,
    Method,
    Offsets,
    Relaxometry,
    Separation,
    SpinEcho,
    SwiMethod,
    Unwrap,
)
from bids_app.qsm.params import Params

M = TypeVar("M")
#: Packages of the families, whose modules hold the methods.
FAMILIES = ("phase", "unwrap", "field", "background", "inversion", "relaxometry", "swi", "separation")
AnyMethod = Method[Callable[..., object], Params]


def _described() -> Iterator[AnyMethod]:
    """Yield the methods whose descriptors stand in the families' modules."""
    for family in FAMILIES:
        package = importlib.import_module(f"bids_app.qsm.{family}")
        for listed in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
            module = importlib.import_module(f"{package.__name__}.{listed.name}")
            for value in vars(module).values():
                if isinstance(value, Method) and value.function.__module__ == module.__name__:
                    _export(value, package)
                    yield value


def _export(method: AnyMethod, package: ModuleType) -> None:
    """Let a method be called by its name in its family, where a module has that name and the package lists nothing."""
    name = method.function.__name__
    if isinstance(getattr(package, name, None), ModuleType):
        setattr(package, name, method.function)


def _collect() -> Mapping[Kind, Mapping[str, AnyMethod]]:
    """Return every method by kind and name; two of one name are a mistake of whoever wrote the second."""
    registries: dict[Kind, dict[str, AnyMethod]] = {kind: {} for kind in KINDS}
    keys: dict[str, str] = {}
    for method in _described():
        where = f"{method.function.__module__}.{method.name}"
        if method.name in registries[method.kind] or method.key in keys:
            raise ValueError(f"{where} has a name or key that {keys.get(method.key, 'another method')} has already")
        registries[method.kind][method.name] = method
        keys[method.key] = where
    return MappingProxyType({kind: MappingProxyType(dict(sorted(some.items()))) for kind, some in registries.items()})


#: Every method, by kind and name.
METHODS = _collect()


def _of(kind: Kind, signature: type[M]) -> Mapping[str, M]:
    """Return the methods of one kind with the kind's signature, which each descriptor's annotation has checked."""
    return cast("Mapping[str, M]", METHODS[kind])


OFFSETS = _of("offsets", Offsets[Params])
UNWRAP = _of("unwrap", Unwrap[Params])
FIELD_FITS = _of("field_fit", FieldFitter[Params])
CORRECTIONS = _of("correction", Correction)
BACKGROUND = _of("background", Background[Params])
INVERSIONS = _of("inversion", Inversion[Params])
RELAXOMETRY = _of("relaxometry", Relaxometry[Params])
SWI = _of("swi", SwiMethod[Params])
SPIN_ECHO = _of("spin_echo", SpinEcho[Params])
GRADIENT_CORRECTIONS = _of("gradient_correction", GradientCorrection[Params])
SEPARATION = _of("separation", Separation[Params])
#: Inversions that take the total field: background removal is part of them.
SINGLE_STEP = frozenset(name for name, method in INVERSIONS.items() if method.single_step)
#: Every method by the key of the records.
BY_KEY: Mapping[str, AnyMethod] = MappingProxyType({m.key: m for some in METHODS.values() for m in some.values()})
