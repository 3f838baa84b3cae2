"""What the library says to arrays of another shape, type or unit: every method, called by its name."""

import inspect

import numpy as np
import pytest

from bids_app import qsm
from bids_app.errors import ParameterError

GRID = qsm.Grid((20, 18, 22))
FIELD = np.random.default_rng(0).normal(scale=0.01, size=GRID.shape).astype(np.float32)
MASK = np.zeros(GRID.shape, bool)
MASK[4:16, 4:14, 4:18] = True
OF_FIELDS = {**qsm.BACKGROUND, **qsm.INVERSIONS}
TIMES = (0.004, 0.008, 0.012)
ECHOES = np.stack([FIELD, 2 * FIELD, 3 * FIELD])


@pytest.mark.parametrize("method", OF_FIELDS.values(), ids=OF_FIELDS)
def test_every_method_of_a_field_names_the_volume_that_has_another_shape(method):
    with pytest.raises(ValueError, match=r"^field has shape \(10, 18, 22\), the grid \(20, 18, 22\)$"):
        method(FIELD[:10], MASK, GRID)
    with pytest.raises(ValueError, match=r"^mask has shape \(10, 18, 22\)"):
        method(FIELD, MASK[:10], GRID)
    with pytest.raises(TypeError, match=r"the grid must be a Grid.*got tuple"):
        method(FIELD, MASK, (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="values other than 0 and 1"):
        method(FIELD, 0.5 * MASK, GRID)


@pytest.mark.parametrize("kind", [np.float64, np.uint8])
def test_a_mask_of_numbers_as_image_files_store_it_is_a_mask(kind):
    np.testing.assert_array_equal(
        qsm.inversion.tkd(FIELD, MASK.astype(kind), GRID), qsm.inversion.tkd(FIELD, MASK, GRID)
    )
    options = qsm.BackgroundChoices(method="vsharp", boundary_sources="keep")
    local, same = (qsm.local_field(FIELD, mask, GRID, options=options) for mask in (MASK.astype(kind), MASK))
    np.testing.assert_array_equal(local.field, same.field)


def test_methods_of_every_stage_take_a_mask_of_numbers():
    weak, stored = np.abs(ECHOES), MASK.astype(np.uint8)
    calls = [
        *(
            lambda mask, m=m: m(100 * FIELD, weak[0], mask, GRID, echo_time=0.01, chi_ppm=FIELD).swi
            for m in qsm.SWI.values()
        ),
        *(lambda mask, m=m: m(100 * FIELD, mask, GRID) for m in qsm.UNWRAP.values()),
        *(lambda mask, m=m: m(weak, TIMES, mask).r2star for m in qsm.RELAXOMETRY.values()),
        *(lambda mask, m=m: m(ECHOES, weak, TIMES, mask).field_hz for m in qsm.FIELD_FITS.values()),
        *(lambda mask, m=m: m(ECHOES, weak, TIMES, mask, GRID).phase for m in qsm.OFFSETS.values()),
    ]
    for call in calls:
        np.testing.assert_array_equal(call(stored), call(MASK))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"echo_times": (4, 8, 12)}, "echo times must be in seconds"),
        ({"echo_times": (0.012, 0.008, 0.004)}, "positive and ascend, got [0.012, 0.008, 0.004]"),
        ({"phase": 2048 * ECHOES}, "make it rad, as by qsm.to_radians"),
        ({"mask": MASK[:4]}, "mask has shape (4, 18, 22)"),
        ({"field_strength": 0}, "positive number of tesla"),
    ],
)
def test_a_reconstruction_names_what_is_wrong(changed, message):
    given = {"phase": ECHOES, "magnitude": np.abs(ECHOES), "echo_times": TIMES, "grid": GRID, "field_strength": 3.0}
    with pytest.raises(ValueError) as error:
        qsm.reconstruct(**given | {"preset": "fast"} | changed)
    assert message in str(error.value)


def test_what_a_stage_takes_and_gets_by_mistake():
    with pytest.raises(TypeError, match=r"got ndarray; a method takes arrays: qsm\.inversion\.rts"):
        qsm.susceptibility(FIELD, GRID, options=qsm.InversionChoices(method="rts"))
    with pytest.raises(ParameterError, match=r"there is no method 'romoe': did you mean 'romeo'"):
        qsm.Options(parameters={"romoe": qsm.unwrap.RomeoParams()})
    with pytest.raises(ParameterError, match=r"tkd takes TkdParams, got RtsParams"):
        qsm.Options(parameters={"tkd": qsm.inversion.RtsParams()})
    with pytest.raises(ValueError, match=r"quality has shape \(3,"):
        qsm.make_masks(np.abs(FIELD), GRID, quality=FIELD[:3])
    with pytest.raises(ValueError, match="differ in shape"):
        qsm.reference(FIELD, MASK, MASK[:3])


def test_methods_show_what_they_are_and_how_they_are_called():
    method = qsm.INVERSIONS["rts"]
    assert repr(method) == "<inversion 'rts': RTS>"
    assert repr(qsm.INVERSIONS["bayes"]).endswith("this software's own>")
    assert list(inspect.signature(method).parameters) == list(inspect.signature(qsm.inversion.rts).parameters)
    assert "kind" in inspect.signature(qsm.Method).parameters


def test_completion_offers_the_public_names_alone():
    assert dir(qsm) == sorted(qsm.__all__)
