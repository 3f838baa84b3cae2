"""Who may import whom; lazy imports count too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bids_app"
#: What a room (or top-level module) may import from the package, besides itself and errors.
ALLOWED = {
    "qsm": set(),
    "dataset": set(),
    "derivatives": set(),
    "steps": {"qsm", "anatomy", "group", "dataset", "derivatives"},
    "execution": {"qsm", "steps", "derivatives", "__init__"},
    "sections": {"qsm"},
    "settings": {"qsm", "sections"},
    "config": {"qsm", "settings", "cluster_options"},
    "cluster_options": {"qsm"},
    "submission": {"config", "dataset", "execution", "levels"},
    "levels": {"dataset", "execution", "config", "drawing"},
    "drawing": {"anatomy", "config", "dataset", "derivatives"},
    "console": {"execution"},
    "validation": set(),
    "app": {
        "report",
        "submission",
        "regions_choice",
        "group_cohort",
        "dataset",
        "derivatives",
        "execution",
        "config",
        "settings",
        "levels",
        "console",
        "intake",
        "validation",
        "__init__",
    },
    "group_cohort": {"config", "dataset", "derivatives"},
    "regions_choice": {"anatomy", "config", "settings", "dataset"},
    "intake": {"convert", "config"},
    "options": {"settings", "__init__"},
    "cli": {"app", "config", "execution", "options"},
    "__main__": {"cli"},
    "brainlife": {"cli", "__init__"},
    "descriptor": {"options", "__init__"},
    "errors": set(),
    "__init__": set(),
}
OWNERS = {
    "bids": {"dataset/query.py"},
    "nibabel": {
        "dataset/checks.py",
        "dataset/images.py",
        "derivatives/files.py",
        "convert/heuristic.py",
        "convert/loose.py",
        "convert/nifti.py",
        "convert/sidecars.py",
        "convert/session.py",
    },
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Return (top-level package, room) of every import in a module."""
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


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    mine = room(path)
    if mine in {"anatomy", "convert", "group", "phantom", "report"}:
        allowed = {"qsm", "derivatives", "__init__"}
    else:
        allowed = ALLOWED[mine]
    for top, *rest in imports(path):
        if top == "bids_app" and rest:
            other = "__init__" if rest[0] == "__version__" else rest[0]
            assert other in allowed | {mine, "errors"}, f"{path} imports {'.'.join([top, *rest])}"


@pytest.mark.parametrize(("library", "owners"), OWNERS.items())
def test_libraries_have_their_owners(library, owners):
    users = {str(path.relative_to(PACKAGE)) for path in MODULES if any(i[0] == library for i in imports(path))}
    assert users <= owners


def test_numerics_import_numpy_scipy_numba_alone():
    allowed = {"numpy", "scipy", "numba", "bids_app"} | set(sys.stdlib_module_names)
    for path in (PACKAGE / "qsm").rglob("*.py"):
        assert {top for top, *_ in imports(path)} <= allowed, path


def test_help_imports_nothing_heavy():
    code = "import sys, bids_app.cli as c; c.build_parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "scipy", "numba", "bids", "nibabel", "pandas"} & set(loaded)
