"""Who may import whom; lazy imports count too."""

import ast
import re
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
    {"tui"},
    {"__main__"},
]
#: Packages and modules of the library from the bottom up: each imports its own package and those below it.
LIBRARY_LAYERS = [
    {"allocation", "arrays"},
    {"device", "params", "process", "results", "threads", "units"},
    {"grid"},
    {"signatures"},
    {"method"},
    {"kernels"},
    {"plain"},
    {"operators"},
    {"solvers", "mask"},
    {"field", "inversion", "relaxometry", "swi", "unwrap"},
    {"background", "phase", "quality", "separation"},
    {"registry"},
    {"options"},
    {"pipeline"},
    {"__init__"},
    {"warmup"},
]
OWNERS = {
    "bids": {"dataset/entity_names.py"},
    "nibabel": {
        "derivatives/nifti.py",
        "derivatives/files.py",
        "derivatives/streams.py",
        "convert/name/heuristic.py",
        "convert/scan/loose.py",
    },
}
#: Further packages of the numerics: imported when a network is run or a GPU is asked for, and numba's own layer.
OPTIONAL = {"device.py": {"torch", "array_api_compat"}, "lanes.py": {"llvmlite"}, "onnx_contract.py": {"onnxruntime"}}
#: The modules at the border to what has no types, with what it is. Everywhere else types are named to the leaf.
UNTYPED = {
    "adapters/ants_jobs.py": "images of ANTs",
    "convert/name/heuristic.py": "modules of heudiconv's users",
    "convert/scan/elements.py": "data sets of pydicom",
    "convert/scan/frames.py": "data sets of pydicom",
    "convert/scan/header.py": "data sets of pydicom",
    "convert/scan/multiframe.py": "data sets of pydicom",
    "engine/certificates.py": "security settings of Dask",
    "engine/dask.py": "clients and futures of Dask",
    "engine/schedulers.py": "clusters of dask-jobqueue",
    "engine/worker_watchdog.py": "workers of Dask",
    "group/formulas.py": "functions of a formula on columns of any type",
    "group/statistics.py": "design matrices of patsy and tables of pandas",
    "group/voxelwise.py": "columns of pandas",
    "model/json_values.py": "JSON and TOML files that others wrote",
    "qsm/device.py": "the functions of numpy and PyTorch, under one standard",
    "qsm/kernels/cache.py": "dispatchers of numba",
    "report/pictures.py": "figures of matplotlib",
    "tui/app.py": "screens of textual",
    "report/slices.py": "arrays of numpy with any type of number: maps, masks and labels are cut alike",
}
MODULES = sorted(PACKAGE.rglob("*.py"))
#: Lines of a module, of a function's body (without signature and docstring), and of a compiled kernel's: numba inlines
#: what a loop over voxels calls only where it is told to, and the loop reads best in one piece.
MAX_MODULE, MAX_BODY, MAX_KERNEL = 300, 50, 60


def imports(path):
    """Return (top-level package, package of ours) of every import in a module."""
    listed = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        listed += [name.split(".") for name in names]
    return listed


def package(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level(name, layers=LAYERS):
    return next(number for number, layer in enumerate(layers) if name in layer)


def is_for_types(node):
    """Whether a statement is ``if TYPE_CHECKING:``, whose imports are never done."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def library_imports(path):
    """Return (module, line) of every import of the library in one of its modules, but those for types alone."""
    tree = ast.parse(path.read_text())
    skipped = {id(inner) for node in ast.walk(tree) if is_for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif node.module == "bids_app.qsm":
            names = [f"bids_app.qsm.{alias.name}" for alias in node.names]
        else:
            names = [str(node.module)]
        for name in names:
            if name.startswith("bids_app.qsm."):
                yield name, node.lineno


def methods_of(path):
    """Return whether a module of the library describes a method."""
    tree = ast.parse(path.read_text())
    calls = [n.value for n in tree.body if isinstance(n, ast.AnnAssign | ast.Assign) and isinstance(n.value, ast.Call)]
    return any(isinstance(call.func, ast.Name) and call.func.id == "Method" for call in calls)


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


LIBRARY = [path for path in MODULES if path.is_relative_to(PACKAGE / "qsm")]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(PACKAGE / "qsm")))
def test_imports_inside_the_library_point_downward(path):
    mine = path.relative_to(PACKAGE / "qsm").parts[0].removesuffix(".py")
    for name, line in library_imports(path):
        other = name.split(".")[2]
        if other != mine:
            assert level(other, LIBRARY_LAYERS) < level(mine, LIBRARY_LAYERS), f"{path}:{line} imports {name}"


LIBRARY_MODULES = {".".join(path.relative_to(PACKAGE / "qsm").with_suffix("").parts): path for path in LIBRARY}
METHODS = sorted(name for name, path in LIBRARY_MODULES.items() if methods_of(path))
#: Methods of lower families that what several methods share composes, with the reason.
COMPOSED = {
    "unwrap.romeo": "phase offsets unwrap the phase between two echoes",
    "inversion.bayes": "joint fits of two sources start from a susceptibility map",
}


def reached_from(start):
    """Return the modules of families that a module imports by itself, and through others."""

    def imported(name):
        names = {".".join(module.split(".")[2:4]) for module, _ in library_imports(LIBRARY_MODULES[name])}
        return {module for module in names if module in LIBRARY_MODULES} - {start}

    direct = imported(start)
    every, rest = set(direct), list(direct)
    while rest:
        new = imported(rest.pop()) - every
        every |= new
        rest += new
    return direct, every


def test_methods_of_all_families_are_compared():
    assert {name.partition(".")[0] for name in METHODS} == {
        *("background", "field", "inversion", "phase", "relaxometry", "separation", "swi", "unwrap")
    }


@pytest.mark.parametrize("name", METHODS)
def test_no_method_imports_another(name):
    """What methods share stands in modules without a method; the pipeline composes methods."""
    direct, every = reached_from(name)
    assert direct & set(METHODS) == set()
    assert every & set(METHODS) <= set(COMPOSED)
    assert not any(other.startswith(f"{name.partition('.')[0]}.") for other in every & set(METHODS))


def imports_by_module():
    """Return the modules of the package that each of its modules imports, also inside of functions."""
    modules = {
        ".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): p for p in MODULES
    }
    graph = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text())
        typing = {id(inner) for node in ast.walk(tree) if is_for_types(node) for inner in ast.walk(node)}
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and id(n) not in typing]
        pairs = [(str(node.module), f"{node.module}.{alias.name}") for node in nodes for alias in node.names]
        graph[name] = ({inner if inner in modules else outer for outer, inner in pairs} & modules.keys()) - {name}
    return graph


def circle_in(graph):
    """Return a module that is imported by what it imports, or None."""
    rest = dict(graph)
    while rest:
        free = [name for name, others in rest.items() if not others & rest.keys()]
        if not free:
            return sorted(rest)
        for name in free:
            del rest[name]
    return None


def test_no_modules_import_each_other():
    assert circle_in(imports_by_module()) is None


def test_a_circle_is_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert circle_in({"a": {"b"}, "b": set()}) is None


@pytest.mark.parametrize(("library", "owners"), OWNERS.items())
def test_libraries_have_their_owners(library, owners):
    users = {str(path.relative_to(PACKAGE)) for path in MODULES if any(i[0] == library for i in imports(path))}
    assert users <= owners


def test_numerics_import_numpy_scipy_numba_alone():
    allowed = {"numpy", "scipy", "numba", "bids_app"} | set(sys.stdlib_module_names)
    for path in (PACKAGE / "qsm").rglob("*.py"):
        assert {top for top, *_ in imports(path)} <= allowed | OPTIONAL.get(path.name, set()), path


def test_modules_are_short():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {str(path): lines for path, lines in lengths.items() if lines > MAX_MODULE} == {}


def test_only_borders_to_untyped_libraries_use_any():
    users = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(ast.parse(path.read_text())))
    }
    assert users == set(UNTYPED), "name the type, or list the module with what it is the border to"


def is_kernel(function):
    names = {
        part.id for decorator in function.decorator_list for part in ast.walk(decorator) if isinstance(part, ast.Name)
    }
    return bool(names & {"jit", "njit"})


def test_kernels_are_compiled_by_the_decorator_of_the_package():
    plain = re.compile(r"\b(njit|(numba|nb)\.(jit|vectorize|guvectorize|stencil))\b|import.*\b(njit|vectorize)\b")
    users = [str(p.relative_to(PACKAGE)) for p in MODULES if any(map(plain.search, code_lines(p)))]
    assert users == ["qsm/kernels/cache.py"], "numba's own cache ends the command in a read-only image"


def code_lines(path):
    return [line.partition("#")[0] for line in path.read_text().splitlines()]


def long_functions(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if lines > (MAX_KERNEL if is_kernel(node) else MAX_BODY):
                yield f"{node.name}: {lines} lines"


def test_functions_fit_a_screen():
    long = [f"{path}: {text}" for path in MODULES for text in long_functions(ast.parse(path.read_text()))]
    assert long == []


def test_a_long_function_is_found():
    lines = "\n".join(["    x = 1"] * (MAX_BODY + 1))
    assert list(long_functions(ast.parse(f"def f(x):\n{lines}\n"))) == [f"f: {MAX_BODY + 1} lines"]
    assert list(long_functions(ast.parse(f"@jit(parallel=True)\ndef f(x):\n{lines}\n"))) == []


def test_help_imports_nothing_heavy():
    code = "import sys, bids_app.cli.command as c; c.build_parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "scipy", "numba", "bids", "nibabel", "pandas"} & set(loaded)


def test_no_string_names_code():
    """``"package.module:NAME"``: an import says it, and a function is sent by its own name."""
    spelled = re.compile(r"bids_app(\.\w+)+:\w+")
    named = [
        f"{path.relative_to(PACKAGE)}: {node.value}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and spelled.fullmatch(node.value)
    ]
    assert named == []


def test_only_the_command_line_knows_its_configuration():
    """Everything else takes what it needs: settings, context, selection."""
    users = {str(p.relative_to(PACKAGE)) for p in MODULES if ["bids_app", "cli", "config", "Config"] in imports(p)}
    assert users <= {"cli/app.py", "cli/conversion.py", "tui/plan.py"}
