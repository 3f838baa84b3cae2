"""What a changed setting repeats: the real steps and the real engine, with functions that write a few random numbers.

A function's numbers follow from the bytes of its inputs and from the settings that it reads, so that what comes later
sees a change as it would in a real run.
"""

import json
import shutil
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest

from bids_app.derivatives.products import PRODUCTS
from bids_app.engine.chain import Chain
from bids_app.model.context import Context
from bids_app.model.settings import build_settings
from bids_app.model.step import Output, StepResult
from bids_app.steps import PARTICIPANT
from tests.unit.steps.test_slices import study

AFTER_INVERSION = ("null_space_trend", "reference", "qc")
OF_THE_MASK = ("background", "inversion", "null_space_trend", "relaxometry", "reference", "swi", "qc")
#: A section of the settings, what is changed in it, and the steps that must run again: no other one may.
CHANGES = [
    ("field", {"unwrap": "laplacian"}, ("phase", "field", "mask", *OF_THE_MASK)),
    ("mask", {"filled": "quality,otsu:1.0"}, ("mask", *OF_THE_MASK)),
    ("brain_extraction", {"program": "synthstrip"}, ("brain-extraction", "mask", *OF_THE_MASK)),
    ("background", {"method": "vsharp"}, ("background", "inversion", *AFTER_INVERSION)),
    ("background", {"lbv": {"iterations": 77}}, ("background", "inversion", *AFTER_INVERSION)),
    ("inversion", {"method": "rts"}, ("inversion", *AFTER_INVERSION)),
    ("inversion", {"bayes": {"iterations": 77}}, ("inversion", *AFTER_INVERSION)),
    ("inversion", {"rts": {"iterations": 77}}, ()),  # not the chosen method
    ("reference", {"region": "none"}, ("reference",)),
    ("relaxometry", {"method": "loglinear"}, ("relaxometry",)),
    ("swi", {"method": "tswi"}, ("swi",)),
    ("swi", {"clearswi": {"high_pass": 5.0}}, ("swi",)),
    ("qc", {"roughness_max": 0.9}, ("qc",)),
    ("statistics", {"confidence": 0.9}, ()),
]


def numbers_of(step, declared):
    """Return the generator of numbers that stand for a step's results."""
    digest = blake2b(digest_size=8)
    for path in step.inputs.values():
        digest.update(path.read_bytes())
    for section in declared.reads:
        digest.update(json.dumps(getattr(step.settings, section).to_mapping()).encode())
    return np.random.default_rng(int.from_bytes(digest.digest(), "big"))


def output_of(key, numbers):
    product, volume = PRODUCTS[key], numbers.integers(0, 200, (3, 3, 3))
    if product.kind == "json":
        return Output(sidecar={"value": int(volume.sum())})
    if product.kind == "table":
        return Output(rows=[{next(iter(product.columns)): int(volume.sum())}])
    assert product.kind == "image" and not product.is_segmentation
    return Output(volume.astype(np.float32), affine=np.eye(4))


def pretending(settings):
    """Return the steps over a run with other functions; everything else is as declared."""

    def other(declared):
        def function(step):
            numbers = numbers_of(step, declared)
            return StepResult({key: output_of(key, numbers) for key in declared.makes(step.record, settings)})

        return replace(declared, function=function)

    return [other(step) for step in PARTICIPANT]


def go(run, settings, out):
    result = Chain(pretending(settings), run, settings, Context(out.parent, out, out / "work", 1)).run()
    assert result.failures == []
    return result


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return a run and its outputs by the defaults."""
    root = tmp_path_factory.mktemp("repeats")
    run, out = study(root / "bids", shape=(8, 8, 8)), root / "out"
    assert set(go(run, build_settings({}), out).ran) == {"phase", "field", "mask", *OF_THE_MASK}
    return run, out


@pytest.mark.parametrize(("section", "values", "repeated"), CHANGES, ids=lambda value: str(value)[:40])
def test_a_setting_repeats_its_step_and_what_follows_and_nothing_else(section, values, repeated, done, tmp_path):
    run, out = done
    result = go(run, build_settings({section: values}), shutil.copytree(out, tmp_path / "out"))
    assert set(result.ran) == set(repeated)


def test_every_section_that_a_default_run_reads_is_tried(done):
    settings = build_settings({})
    read = {name for step in PARTICIPANT if step.makes(done[0], settings) for name in step.reads}
    assert read <= {section for section, *_ in CHANGES}
