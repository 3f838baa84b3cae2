"""``python -m tests.helpers.docstrings``: check the docstrings of what the library exports by numpydoc's rules."""

import inspect
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

from bids_app import qsm
from bids_app.qsm import units
from bids_app.qsm.operators import crop, dipole, gradient, laplacian, resample, smoothing

#: Modules whose public functions count, beside what ``bids_app.qsm`` and its families list in ``__all__``.
MODULES = (units, crop, dipole, gradient, laplacian, resample, smoothing)
#: Words whose standard terms are in the glossary.
BANNED = (" rim", "taken off", "freed of", " told ", " turns", "oddit")


def exported() -> Iterator[tuple[str, object]]:
    """Yield the name and the function or class of all that is public; records document their fields in place."""
    for name in qsm.__all__:
        value = getattr(qsm, name)
        if isinstance(value, ModuleType):
            yield from ((f"{value.__name__}.{part}", getattr(value, part)) for part in value.__all__)
        else:
            yield name, value
    for module in MODULES:
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield f"{module.__name__}.{name}", value


def functions() -> dict[str, object]:
    """Return the functions, and the classes that are neither records nor parameters, by name."""
    kept = (qsm.Grid, qsm.Method, dipole.DipoleConvolution)
    return {name: value for name, value in exported() if inspect.isfunction(value) or value in kept}


def problems() -> list[str]:
    """Return one sentence for each rule that a docstring breaks."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    checks = set(tomllib.loads(text)["tool"]["numpydoc_validation"]["checks"])
    sentences = []
    for name, value in functions().items():
        result = validate(get_doc_object(value))
        sentences += [f"{name}: {code}: {sentence}" for code, sentence in result["errors"] if code in checks]
        sentences += [
            f"{name}: {word.strip()!r} is not a term" for word in BANNED if word in f" {value.__doc__}".lower()
        ]
    return sentences


if __name__ == "__main__":
    print(*(sentences := problems()), sep="\n")
    sys.exit(bool(sentences))
