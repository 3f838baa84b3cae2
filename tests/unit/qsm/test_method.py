"""Descriptors of methods, and the registries that are made of them."""

import dataclasses
import inspect
import re
import subprocess
import sys
import textwrap

import pytest

from bids_app import qsm
from bids_app.qsm.method import KINDS, PARAMETERS
from bids_app.qsm.registry import BY_KEY, METHODS

ALL = [method for kind in KINDS for method in METHODS[kind].values()]


@pytest.mark.parametrize("method", ALL, ids=lambda m: m.key)
def test_descriptor_agrees_with_its_function(method):
    assert METHODS[method.kind][method.name] is method is BY_KEY[method.key]
    assert re.fullmatch("[a-z][a-z0-9_]*", method.name)
    assert method.sentence.endswith(".") and method.sentence.count(PARAMETERS) <= 1
    assert "{" not in method.sentence.replace(PARAMETERS, "")
    assert method.summary.endswith(".")
    if method.kind != "correction":
        assert inspect.signature(method.function).parameters["params"].default == method.params()
        assert method.citations or method.is_own
    assert set(method.stages) <= {field.name for field in dataclasses.fields(method.params)}
    for key in method.stages.values():
        assert BY_KEY[key].kind == "correction"
        assert BY_KEY[key].is_own


def test_every_family_exports_its_methods_by_name():
    for family, registry in (
        (qsm.inversion, qsm.INVERSIONS),
        (qsm.background, qsm.BACKGROUND),
        (qsm.unwrap, qsm.UNWRAP),
        (qsm.field, qsm.FIELD_FITS),
        (qsm.phase, qsm.OFFSETS),
        (qsm.relaxometry, qsm.RELAXOMETRY),
        (qsm.swi, qsm.SWI),
        (qsm.relaxometry, qsm.SPIN_ECHO),
        (qsm.relaxometry, qsm.GRADIENT_CORRECTIONS),
        (qsm.separation, qsm.SEPARATION),
    ):
        for method in registry.values():
            assert getattr(family, method.function.__name__) is method.function
        assert len(set(family.__all__)) == len(family.__all__)
        for name in family.__all__:
            assert hasattr(family, name)


def test_corrections_are_marked_as_this_softwares_own():
    assert {"alternation", "boundary_sources", "lbv_corrections", "null_space_trend"} <= set(qsm.CORRECTIONS)
    assert all(qsm.CORRECTIONS[name].is_own for name in qsm.CORRECTIONS)
    assert qsm.INVERSIONS["bayes"].is_own
    assert not qsm.INVERSIONS["rts"].is_own


def test_two_methods_of_one_name_are_refused(monkeypatch):
    from bids_app.qsm import registry

    twice = qsm.INVERSIONS["rts"]
    monkeypatch.setattr(registry, "_described", lambda: iter((twice, twice)))
    with pytest.raises(ValueError, match=r"inversion\.rts\.rts has a name or key"):
        registry._collect()


NEW_METHOD = """
import numpy as np
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.params import Params


def nothing(field, mask, grid, *, params=Params(), weights=None, magnitude=None, progress=None, info=None):
    '''Return a map of zeros.'''
    return np.zeros_like(field)


NOTHING: Inversion[Params] = Method("nothing", "inversion", "Nothing", nothing, Params, "Nothing was estimated.")
"""


def test_a_new_file_in_a_familys_folder_is_a_new_method(tmp_path, monkeypatch):
    from bids_app.qsm import registry

    (tmp_path / "nothing.py").write_text(NEW_METHOD)
    monkeypatch.setattr(qsm.inversion, "__path__", [*qsm.inversion.__path__, str(tmp_path)])
    methods = registry._collect()
    assert qsm.inversion.nothing is methods["inversion"]["nothing"].function
    del sys.modules["bids_app.qsm.inversion.nothing"], qsm.inversion.nothing
    assert set(methods["inversion"]) == {*qsm.INVERSIONS, "nothing"}
    assert methods["inversion"]["nothing"].summary == "Return a map of zeros."
    assert {kind: set(methods[kind]) for kind in KINDS if kind != "inversion"} == {
        kind: set(METHODS[kind]) for kind in KINDS if kind != "inversion"
    }


SNIPPET = """
from bids_app.qsm.inversion.rts import RTS, RtsParams, rts
from bids_app.qsm.inversion.tv import TvParams
from bids_app.qsm.method import Inversion, Method

good: Inversion[RtsParams] = Method("x", "inversion", "X", rts, RtsParams, "X.")
delta: float = RTS.params().delta
"""


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", ""),
        ("RTS.params().dleta", "attr-defined"),
        ('bad: Inversion[TvParams] = Method("x", "inversion", "X", rts, TvParams, "X.")', "arg-type"),
        ("RTS(params=TvParams())", "call-arg"),
    ],
)
@pytest.mark.slow
def test_the_type_checker_knows_a_methods_signature(tmp_path, line, error):
    path = tmp_path / "snippet.py"
    path.write_text(textwrap.dedent(SNIPPET) + line + "\n")
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) == (not error), done.stdout
    assert error in done.stdout
