"""The phantom's sources: what they add up to, and spin echoes with a known R2."""

import numpy as np
import pytest

from bids_app.errors import UsageError
from bids_app.phantom import sampling
from bids_app.phantom.fibres import fibre_cos2
from bids_app.phantom.from_options import study_from
from bids_app.phantom.options import build_parser
from bids_app.phantom.sources import SourceModel, SourceTruth, relaxation, spin_echoes
from bids_app.qsm.grid import Grid
from bids_app.qsm.relaxometry.epg_fit import r2_epg

SHAPE = (12, 12, 12)


def properties(chi=-0.03, dia=-0.045, white=1.0, cos2=0.25, r2=14.0):
    values = np.zeros((*SHAPE, sampling.PROPERTIES), np.float32)
    values[..., sampling.CHI], values[..., sampling.DIAMAGNETIC] = chi, dia
    values[..., sampling.MYELINATED], values[..., sampling.COS2] = white, cos2
    values[..., sampling.R2], values[..., sampling.M0], values[..., sampling.BRAIN] = r2, 1.0, 1.0
    return values


@pytest.mark.parametrize("field_strength", [3.0, 7.0])
def test_sources_add_up_to_the_susceptibility_and_relax_by_the_equation(field_strength):
    model = SourceModel()
    p, n, r2prime = relaxation(properties(), model, field_strength)
    np.testing.assert_allclose(p - n, -0.03, atol=1e-6)
    np.testing.assert_allclose(n, 0.045, atol=1e-6)
    expected = model.relaxivity * field_strength / 3 * (0.015 + model.cylinders * 0.75 * 0.045)
    np.testing.assert_allclose(r2prime, expected, rtol=1e-4)
    _, _, r2prime = relaxation(properties(chi=0.02, dia=-0.02, white=0), model, field_strength)
    expected = model.relaxivity * field_strength / 3 * (0.04 + model.grey * 0.02)
    np.testing.assert_allclose(r2prime, expected, rtol=1e-4)


def test_a_source_never_has_the_other_sign():
    p, n, _ = relaxation(properties(chi=-0.06, dia=-0.045), SourceModel(), 3.0)
    np.testing.assert_allclose(n, 0.06, atol=1e-6)
    assert (p >= 0).all()
    p, n, _ = relaxation(properties(chi=0.1, dia=0.02), SourceModel(), 3.0)
    assert (n == 0).all()


def test_the_truth_is_the_mean_of_the_fine_voxels():
    truth = SourceTruth.empty((6, 6, 6))
    rate = truth.fill(slice(0, 6), properties(), SourceModel(), 3.0, 2)
    np.testing.assert_allclose(truth.paramagnetic + truth.diamagnetic, -0.03, atol=1e-6)
    np.testing.assert_allclose(truth.fibre_angle, np.pi / 3, rtol=1e-4)
    np.testing.assert_allclose(rate, 14 + truth.r2prime[0, 0, 0], rtol=1e-5)
    assert not truth.within(np.zeros((6, 6, 6), bool)).r2.any()


def test_spin_echoes_hold_the_r2_that_was_put_in():
    model = SourceModel(snr=1e5)
    values = properties()
    echoes = spin_echoes(iter([(slice(0, 12), values)]), (6, 6, 6), model, 2, np.random.default_rng(0))
    mask, grid = np.ones((6, 6, 6), bool), Grid((6, 6, 6))
    fit = r2_epg(echoes, model.echo_times, mask, grid)
    assert np.median(fit.r2) == pytest.approx(14.0, rel=0.02)
    assert fit.angle.max() < 180


def test_fibres_have_directions_of_all_kinds():
    b0 = np.array([0.0, 0.0, 1.0])
    assert fibre_cos2(0.0, 0.0, 22.0, b0) < 0.2  # callosal fibres run across
    assert fibre_cos2(22.0, -12.0, 40.0, b0) > 0.8  # projection fibres run up


def test_options_of_the_sources():
    assert study_from(build_parser().parse_args(["out"])).sources is None
    study = study_from(build_parser().parse_args(["out", "--sources", "--anisotropy", "0", "--relaxivity", "300"]))
    assert (study.sources.anisotropy, study.sources.relaxivity) == (0.0, 300.0)
    with pytest.raises(UsageError, match="multiples"):
        study_from(build_parser().parse_args(["out", "--sources", "--spin-echo-times", "0.01", "0.03", "0.05"]))
    with pytest.raises(UsageError, match="refocusing"):
        study_from(build_parser().parse_args(["out", "--sources", "--refocusing-angle", "30"]))
