"""An edit repeats the steps that can reach the code, and no other."""

import shutil
from functools import partial
from pathlib import Path

import pytest

import bids_app
from bids_app import steps
from bids_app.engine import code
from bids_app.engine.cache import fingerprint, parameters_of
from bids_app.model.cohort import Cohort
from bids_app.model.records import Anatomical, GreRun
from bids_app.model.settings import build_settings
from bids_app.model.step import Step
from bids_app.model.template import Space

ROOT = Path(bids_app.__file__).parent
STEPS = {
    f"{record.__name__} {step.name}": (step, record)
    for record, steps_of in (
        (Anatomical, steps.ANATOMICAL),
        (GreRun, steps.PARTICIPANT),
        (Cohort, steps.GROUP),
        (Space, steps.template_map_steps()),
    )
    for step in steps_of
}


def reached(index, step, record):
    return index.reached([*code.roots_of(step.function), (record.__module__, record.__qualname__)])


def digests(root):
    index = code.CodeIndex(root)
    return {name: index.digest(reached(index, step, record)) for name, (step, record) in STEPS.items()}


@pytest.fixture(scope="module")
def before():
    return digests(ROOT)


@pytest.fixture
def edited(before, tmp_path):
    """Return the steps that an edit of one file repeats."""
    root = tmp_path / "bids_app"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))

    def edit(place, old, new):
        path = root / place
        text = path.read_text()
        assert text.count(old) == 1, place
        path.write_text(text.replace(old, new))
        return {name for name, digest in digests(root).items() if digest != before[name]}

    return edit


def test_an_edit_of_swi_repeats_swi_alone(edited):
    assert edited("qsm/swi/clearswi.py", "def clear_swi(", "_EDIT = 1\n\n\ndef clear_swi(") == set()  # nobody uses it
    assert edited("qsm/swi/clearswi.py", "_EDIT = 1\n\n\n", "") == set()
    assert edited("steps/participant/swi.py", '"SlabThickness"', '"Slab"') == {"GreRun swi"}


@pytest.fixture(scope="module")
def symbols():
    """Return what each step can reach."""
    index = code.CodeIndex(ROOT)
    return {name: reached(index, step, record) for name, (step, record) in STEPS.items()}


@pytest.mark.parametrize("step", [step.name for step in steps.PARTICIPANT])
def test_an_edit_of_a_stage_repeats_that_stage_alone(step, symbols):
    """Steps that a function of the package makes (imports, tables of regions) share it."""
    edited = set(code.roots_of(STEPS[f"GreRun {step}"][0].function))
    repeated = {name for name, definitions in symbols.items() if edited <= definitions}
    made_alike = {name for name, (other, _) in STEPS.items() if set(code.roots_of(other.function)) == edited}
    assert repeated == made_alike and f"GreRun {step}" in repeated


@pytest.mark.parametrize(
    ("place", "name", "repeated"),
    [
        ("qsm.pipeline.inversion", "susceptibility", {"inversion"}),
        ("qsm.pipeline.background", "local_field", {"background"}),
        ("qsm.pipeline.null_space_trend", "remove_null_space_trend", {"null_space_trend"}),
        ("qsm.pipeline.field", "fit_total_field", {"field", "slices"}),
        ("qsm.pipeline.phase", "correct_phase", {"phase", "slices"}),
        ("qsm.pipeline.masks", "make_masks", {"mask", "slices"}),
        ("qsm.pipeline.relaxometry", "r2star", {"relaxometry", "slices"}),
        ("qsm.inversion.combine", "reference", {"reference"}),
    ],
)
def test_an_edit_of_the_library_repeats_the_stages_that_call_it(place, name, repeated, symbols):
    users = {step for step, definitions in symbols.items() if (f"bids_app.{place}", name) in definitions}
    assert users == {f"GreRun {step}" for step in repeated}


def test_an_edit_of_a_background_method_repeats_the_step_that_chooses_it_and_no_other(tmp_path, monkeypatch):
    root = tmp_path / "bids_app"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))

    def all_digests(**sections):
        code.code_of.cache_clear()
        monkeypatch.setattr(code, "_index", lambda index=code.CodeIndex(root): index)
        settings = build_settings(sections)
        return {
            name: code.digest_of(step.function, record, parameters=parameters_of(step, settings))
            for name, (step, record) in STEPS.items()
        }

    pdf, vsharp = {"background": {"method": "pdf"}}, {"background": {"method": "vsharp"}}
    before = all_digests(**pdf), all_digests(**vsharp)
    path = root / "qsm/background/pdf.py"
    path.write_text(path.read_text().replace("def pdf(", "@lambda f: f\ndef pdf("))
    after = all_digests(**pdf), all_digests(**vsharp)
    assert {name for name in STEPS if before[0][name] != after[0][name]} == {"GreRun background"}
    assert before[1] == after[1]
    code.code_of.cache_clear()


def test_lazy_imports_and_what_they_import_count(edited):
    """The map of voxel weights is imported inside a function, two modules away from the step."""
    repeated = edited("qsm/operators/smoothing.py", "_PASSES = ", "_PASSES = 0 + ")
    assert "GreRun mask" in repeated
    assert "GreRun reference" not in repeated


def test_methods_of_records_count(edited):
    assert edited("model/template.py", "def keys_of(self, start", "def keys_of(self, start_") == {
        "Space maps",
        "Space fit",
        "Space convergence",
    }


def test_texts_that_describe_types_do_not_count(edited):
    assert edited(
        "steps/participant/reference.py", "def _region(step: StepInput[GreRun], ", "def _region(step: object, "
    ) <= {"GreRun reference"}


def test_declarations_of_products_count_one_by_one(monkeypatch):
    from bids_app.derivatives.products import PRODUCTS

    function = STEPS["GreRun swi"][0].function
    made, other = code.digest_of(function, GreRun, ("swi", "minip")), code.digest_of(function, GreRun, ("s0",))
    monkeypatch.setitem(PRODUCTS, "swi", PRODUCTS["s0"])
    assert code.digest_of(function, GreRun, ("swi", "minip")) != made
    assert code.digest_of(function, GreRun, ("s0",)) == other


def test_a_computed_import_counts_as_the_whole_package(tmp_path):
    root = tmp_path / "bids_app"
    (root / "parts").mkdir(parents=True)
    for name in ("__init__", "parts/__init__", "parts/one", "parts/two", "other"):
        (root / f"{name}.py").write_text("def made():\n    return 1\n")
    (root / "parts/__init__.py").write_text(
        "import importlib\n\n\ndef load(name):\n    return importlib.import_module(f'bids_app.parts.{name}')\n"
    )
    reached = code.CodeIndex(root).reached([("bids_app.parts", "load")])
    assert {("bids_app.parts.one", ""), ("bids_app.parts.two", "")} <= reached
    assert not [symbol for symbol in reached if symbol[0] == "bids_app.other"]


def test_a_name_that_is_exported_again_is_found_where_it_is_made(tmp_path):
    root = tmp_path / "bids_app"
    root.mkdir()
    (root / "__init__.py").write_text("from bids_app.a import *\n")
    (root / "a.py").write_text("from bids_app.b import made as renamed\n\n\ndef other():\n    return 2\n")
    (root / "b.py").write_text("LEVEL = 3\n\n\ndef made():\n    return LEVEL\n")
    (root / "c.py").write_text("from bids_app import a\n\n\ndef run():\n    return a.renamed()\n")
    reached = code.CodeIndex(root).reached([("bids_app.c", "run")])
    assert reached == {("bids_app.c", "run"), ("bids_app.b", "made"), ("bids_app.b", "LEVEL")}


def test_the_variable_of_a_comprehension_is_no_name_of_its_module(tmp_path):
    root = tmp_path / "bids_app"
    root.mkdir()
    (root / "a.py").write_text(
        "def other(kind):\n    return kind\n\n\nMADE = [other(kind) for kind in 'ab']\n\n\n"
        "def run():\n    kind = 1\n    return kind\n"
    )
    assert code.CodeIndex(root).reached([("bids_app.a", "run")]) == {("bids_app.a", "run")}
    assert ("bids_app.a", "other") in code.CodeIndex(root).reached([("bids_app.a", "MADE")])


def test_functions_of_other_packages_and_made_ones(tmp_path):
    assert code.CodeIndex(ROOT).reached(code.roots_of(partial(shutil.copy, tmp_path))) == set()
    assert code.roots_of(partial(digests, ROOT)) == [(__name__, "digests")]
    assert code.roots_of(lambda step: step) == [(__name__, "test_functions_of_other_packages_and_made_ones")]


def test_the_code_enters_the_fingerprint(run, settings, monkeypatch):
    step = Step("x", "", digests, makes=lambda r, s: ("chimap",))
    first = fingerprint(step, run, settings, {})
    assert fingerprint(step, run, settings, {}) == first
    monkeypatch.setattr("bids_app.engine.cache.digest_of", lambda *words: "other")
    assert fingerprint(step, run, settings, {}) != first
