"""Who may import whom; lazy imports count too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bids_app"
#: Packages from the bottom up: a module imports its own package and those below it.
LAYERS = [
    {"errors"},
    {"qsm"},
    {"model"},
    {"derivatives"},
    {"dataset", "adapters", "convert", "group", "phantom"},
    {"steps"},
    {"engine", "report"},
    {"cli"},
    {"__main__"},
]
#: What may be imported inside the library, by family: the same rule one level down.
LIBRARY_LAYERS = [
    {"arrays", "threads", "params", "units"},
    {"grid"},
    {"method"},
    {"kernels", "operators"},
    {"solvers", "mask"},
    {"field", "phase", "unwrap", "relaxometry", "swi", "quality", "background", "inversion"},
    {"options"},
    {"pipeline"},
    {"registry"},
    {"options"},
    {"__init__"},
    {"warmup"},
]
OWNERS = {
    "bids": {"dataset/query.py"},
    "nibabel": {
        "dataset/checks.py",
        "dataset/images.py",
        "derivatives/files.py",
        "convert/name/heuristic.py",
        "convert/scan/loose.py",
        "convert/nifti.py",
        "convert/write/sidecars.py",
        "convert/write/session.py",
    },
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Return (top-level package, package of ours) of every import in a module."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [name.split(".") for name in names]
    return found


def package(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level(name):
    return next(number for number, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if p.name != "__init__.py" or p.parent != PACKAGE],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_imports_point_downward(path):
    mine = package(path)
    for top, *rest in imports(path):
        if top == "bids_app" and rest and rest[0] != "__version__":
            other = rest[0]
            if other == mine:
                continue
            assert level(other) < level(mine), f"{path} imports {'.'.join([top, *rest])}"


@pytest.mark.parametrize(("library", "owners"), OWNERS.items())
def test_libraries_have_their_owners(library, owners):
    users = {str(path.relative_to(PACKAGE)) for path in MODULES if any(i[0] == library for i in imports(path))}
    assert users <= owners


def test_numerics_import_numpy_scipy_numba_alone():
    allowed = {"numpy", "scipy", "numba", "bids_app"} | set(sys.stdlib_module_names)
    for path in (PACKAGE / "qsm").rglob("*.py"):
        assert {top for top, *_ in imports(path)} <= allowed, path


def test_help_imports_nothing_heavy():
    code = "import sys, bids_app.cli.command as c; c.build_parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "scipy", "numba", "bids", "nibabel", "pandas"} & set(loaded)
