"""The stages on arrays: options, refusals, and the whole of them."""

import numpy as np
import pytest

from bids_app import qsm
from bids_app.errors import ParameterError
from bids_app.qsm.background.vsharp import VsharpParams
from bids_app.qsm.inversion.tkd import TkdParams
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.units import ppm_to_hz

GRID = qsm.Grid((36, 34, 32), (2.0, 2.0, 2.2))
TIMES = (0.004, 0.010, 0.016)
#: Quick methods.
CHOICES = {
    "mask": qsm.MaskChoices(two_pass=False),
    "background": qsm.BackgroundChoices(
        method="vsharp", alternation="keep", boundary_sources="keep", null_space_trend="keep"
    ),
    "inversion": qsm.InversionChoices(method="tkd"),
}
QUICK = qsm.Options(**CHOICES)


def _head():
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    inside = x**2 + y**2 + z**2 < 0.7
    return inside, np.where((x - 0.2) ** 2 + y**2 + z**2 < 0.06, np.float32(0.1), np.float32(0))


HEAD, TRUE = _head()


@pytest.fixture(scope="module")
def data():
    """Phase and magnitude of a ball in a head at 3 T."""
    hz = ppm_to_hz(forward_field(TRUE, GRID), 3.0)
    rng = np.random.default_rng(0)
    signal = np.stack([HEAD * np.exp((2j * np.pi * hz - 20) * t) for t in TIMES])
    signal = signal + 0.01 * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    return np.angle(signal).astype(np.float32), np.abs(signal).astype(np.float32)


def reconstruct(data, options=QUICK, **more):
    return qsm.reconstruct(*data, TIMES, GRID, 3.0, options, **more)


@pytest.fixture(scope="module")
def result(data):
    return reconstruct(data)


def test_a_map_is_found_and_its_methods_are_named(result):
    ball = (TRUE > 0) & result.mask
    assert result.chi[ball].mean() - np.median(result.chi[result.mask]) > 0.06
    assert result.methods == ("mcpc3ds", "romeo", "fit_linear", "vsharp", "tkd")
    assert abs(result.chi[result.mask].mean()) < 1e-6 and not result.chi[~result.mask].any()
    assert result.trend is None and result.local_field is not None and result.options is QUICK
    assert result.reference == pytest.approx(float(result.inverted.chi[result.mask].mean()), abs=1e-7)


def test_the_stages_one_by_one_give_the_same(data, result):
    phase, magnitude = data
    field = qsm.total_field(phase, magnitude, TIMES, GRID)
    masks = qsm.make_masks(field.sd, GRID, quality=field.quality, magnitude=field.magnitude, options=CHOICES["mask"])
    local = qsm.local_field(
        field.ppm(3.0), masks.brain, GRID, sd=field.sd, residual=field.residual, options=CHOICES["background"]
    )
    inverted = qsm.susceptibility(local, GRID, magnitude=field.magnitude, options=CHOICES["inversion"])
    chi, _ = qsm.reference(inverted.chi, inverted.mask)
    np.testing.assert_array_equal(chi, result.chi)
    np.testing.assert_array_equal(local.field, result.local_field)
    np.testing.assert_array_equal(local.mask, result.mask)


def test_inputs_are_not_changed_and_a_second_call_gives_the_same(data, result):
    before = [array.copy() for array in data]
    np.testing.assert_array_equal(reconstruct(data).chi, result.chi)
    for array, old in zip(data, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_parameters_reach_the_methods(data, result):
    given = qsm.Options(**CHOICES, parameters={"tkd": TkdParams(threshold=0.3), "vsharp": VsharpParams(radius_max=6.0)})
    named = qsm.Options.from_mapping(
        {
            "mask": {"two_pass": False},
            "background": CHOICES["background"].to_mapping() | {"vsharp": {"radius_max": 6.0}},
            "inversion": {"method": "tkd", "tkd": {"threshold": 0.3}},
        }
    )
    assert named == given
    other = reconstruct(data, given)
    assert not np.array_equal(other.chi, result.chi)
    with pytest.raises(ParameterError, match="tkd takes TkdParams, got VsharpParams"):
        reconstruct(data, qsm.Options(**CHOICES, parameters={"tkd": VsharpParams()}))


def test_a_given_mask_is_kept_and_the_field_around_it_is_used(data, result):
    given = result.masks.brain & (np.arange(GRID.shape[0]).reshape(-1, 1, 1) < 18)
    half = reconstruct(data, mask=given)
    assert half.masks.cut is not None and (half.masks.processing & ~given).any()
    assert half.mask.any() and not (half.mask & ~given).any()
    # Around it the recipe looks for a brain, and finds none in a ball: that is no remark about the given mask.
    options = qsm.Options(**CHOICES | {"mask": qsm.MaskChoices(two_pass=False)})
    assert any("no brain surface was found" in text for text in reconstruct(data, options).masks.warnings)
    assert reconstruct(data, options, mask=given).masks.warnings == ()
    with pytest.raises(qsm.EmptyMaskError, match="the given mask is empty"):
        reconstruct(data, mask=np.zeros(GRID.shape, bool))


def test_two_passes_are_combined(data):
    both = reconstruct(data, qsm.Options(**CHOICES | {"mask": qsm.MaskChoices(two_pass=True)}))
    assert len(both.background.passes) == 2
    second = both.background.passes[1].valid[0]
    assert second.any() and (both.mask >= second).all()
    np.testing.assert_array_equal(both.inverted.chi[~second], both.inverted.single_chi[~second])


def test_each_echo_is_inverted_by_itself(data, result):
    each = reconstruct(data, qsm.Options(**CHOICES | {"inversion": qsm.InversionChoices(method="tkd", per_echo=True)}))
    assert each.methods[-1] == "per_echo" and len(each.background.passes[0].fields) == len(TIMES)
    inside = each.mask & result.mask
    assert np.corrcoef(each.chi[inside], result.chi[inside])[0, 1] > 0.9


def test_without_magnitude_every_voxel_counts_the_same_and_the_trend_stays(data):
    choices = CHOICES | {"background": qsm.BackgroundChoices(method="vsharp", boundary_sources="keep")}
    alone = qsm.reconstruct(data[0], None, TIMES, GRID, 3.0, qsm.Options(**choices))
    assert alone.trend is None and alone.mask.any()
    removed = reconstruct(data, qsm.Options(**choices))
    assert removed.trend is not None
    offset = removed.inverted.chi - removed.trend - removed.chi
    assert np.ptp(offset[removed.mask]) < 1e-6


def test_one_echo_may_come_without_an_axis_for_it(data):
    phase, magnitude = (array[1] for array in data)
    flat = qsm.total_field(phase, magnitude, TIMES[1:2], GRID)
    whole = qsm.total_field(phase[None], magnitude[None], TIMES[1:2], GRID)
    np.testing.assert_array_equal(flat.total, whole.total)
    assert flat.drift is None


def test_a_reference_region_is_given_as_a_mask(data, result):
    options = qsm.Options(**CHOICES, reference=qsm.ReferenceChoices(region="csf"))
    region = result.mask & (TRUE == 0)
    chi = reconstruct(data, options, region=region).chi
    assert abs(chi[region].mean()) < 1e-6
    with pytest.raises(ValueError, match=r"'csf' must be given as a mask \(region\)"):
        reconstruct(data, options)
    kept = reconstruct(data, qsm.Options(**CHOICES, reference=qsm.ReferenceChoices(region="none")))
    assert kept.reference == 0
    np.testing.assert_array_equal(kept.chi, kept.inverted.chi)


@pytest.mark.parametrize(
    ("background", "inversion", "message"),
    [("vsharp", "tgv", "removes the background field itself"), ("none", "tkd", "needs a local field")],
)
def test_methods_that_do_not_go_together_are_refused(background, inversion, message):
    field = forward_field(TRUE, GRID)
    choices = qsm.BackgroundChoices(method=background, boundary_sources="keep")
    local = qsm.local_field(field, HEAD, GRID, options=choices)
    with pytest.raises(ValueError, match=message):
        qsm.susceptibility(local, GRID, options=qsm.InversionChoices(method=inversion))


def test_background_of_each_echo_needs_integer_ambiguities():
    field = forward_field(TRUE, GRID)
    echoes = qsm.EchoPhase(field[None], (0.01,), 3.0, field, counted=False)
    with pytest.raises(ValueError, match="needs its integer ambiguities"):
        qsm.local_field(field, HEAD, GRID, echoes=echoes, options=CHOICES["background"])


def test_wrong_names_and_shapes_are_refused_with_the_right_one(data):
    with pytest.raises(ParameterError, match="no preset 'fats': did you mean 'fast'"):
        qsm.preset("fats")
    with pytest.raises(ParameterError, match="unknown stage 'inversoin': did you mean 'inversion'"):
        qsm.Options.from_mapping({"inversoin": {}})
    with pytest.raises(ParameterError, match="unknown parameter 'treshold'"):
        qsm.Options.from_mapping({"inversion": {"tkd": {"treshold": 0.1}}})
    with pytest.raises(ValueError, match=r"total field has shape .* the grid"):
        qsm.local_field(TRUE[1:], HEAD, GRID)
    with pytest.raises(ValueError, match="magnitude has shape"):
        qsm.total_field(data[0], data[1][:2], TIMES, GRID)


def test_presets_are_those_of_the_command():
    from bids_app.model.settings import build_settings, preset_names, preset_text
    from bids_app.model.toml_files import parse_toml

    assert list(qsm.presets()) == preset_names()
    for name in qsm.presets():
        tree = parse_toml(preset_text(name), name)
        tree.pop("title", None)
        settings, options = build_settings(tree), qsm.preset(name)
        for stage in ("field", "mask", "background", "inversion", "reference", "relaxometry", "swi"):
            assert getattr(options, stage) == getattr(settings, stage).choice, (name, stage)
            for method, params in getattr(settings, stage).methods.items():
                assert options.parameters.get(method, type(params)()) == params, (name, method)
