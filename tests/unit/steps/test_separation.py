"""The steps from spin-echo R2 to both susceptibilities: what they read, make and warn of."""

from pathlib import Path

import numpy as np
import pytest

from bids_app.derivatives import quality
from bids_app.derivatives.files import write_image
from bids_app.model.records import Echo, GivenMap, GreRun
from bids_app.model.settings import build_settings
from bids_app.model.step import StepInput, plan
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.units import ppm_to_hz
from bids_app.steps import PARTICIPANT
from bids_app.steps.participant.r2prime import R2PRIME, slice_axis
from bids_app.steps.participant.regions import TABLES
from bids_app.steps.participant.separation import SEPARATION, SOURCES
from bids_app.steps.participant.spin_echo import SPIN_ECHO

SHAPE = (30, 28, 26)
TIMES = (0.004, 0.010, 0.016, 0.022)
R2 = 14.0


def sources():
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 11**2
    p = np.where((x - 4) ** 2 + y**2 + z**2 < 9, 0.12, 0.02) * mask
    n = np.where((x + 4) ** 2 + y**2 + z**2 < 9, 0.06, 0.01) * mask
    return p.astype(np.float32), n.astype(np.float32), mask


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images of a ball with an iron-rich and a myelin-rich part, at 3 T."""
    folder = tmp_path_factory.mktemp("separation")
    p, n, mask = sources()
    field = ppm_to_hz(forward_field(p - n, Grid(SHAPE)), 3.0)
    rate = R2 + 137 * (p + n)
    images = {
        "chimap": p - n,
        "mask_qsm": mask,
        "mask_brain": mask,
        "local_field": field * mask,
        "total_field": field * mask,
        "field_sd": 0.1 * mask,
        "r2": R2 * mask,
        "r2_sd": 0.5 * mask,
        "r2star": rate * mask,
    }
    images |= {f"magnitude{e}": 1000 * mask * np.exp(-t * rate) for e, t in enumerate(TIMES, start=1)}
    paths = {name: folder / f"{name}.nii.gz" for name in images}
    for name, data in images.items():
        write_image(paths[name], np.asarray(data, np.float32), np.eye(4), "float32")
    return paths


def run_of(files, given=(), spin_echo=True, **metadata):
    echoes = tuple(
        Echo(e, t, magnitude=files[f"magnitude{e}"], phase=files[f"magnitude{e}"], metadata=metadata)
        for e, t in enumerate(TIMES, start=1)
    )
    train = tuple(Echo(e, 0.01 * e, magnitude=files["magnitude1"]) for e in range(1, 5)) if spin_echo else ()
    maps = tuple(GivenMap(product, path, "1/s") for product, path in given)
    return GreRun("01", None, (("sub", "01"),), "MEGRE", "anat", echoes, 3.0, spin_echo=train, given_maps=maps)


def done(step, run, settings, files, folder):
    seen = {key: files[key] for key in step.needs(run, settings)} | dict(step.sources(run, settings))
    result = step.function(StepInput(run, settings, seen, folder, 1))
    assert set(result.outputs) == set(step.makes(run, settings))
    return result


def chosen(method="closed_form", **more):
    return build_settings({"separation": {"method": method, **more}})


def with_r2prime(files, run, settings, folder):
    made = done(R2PRIME, run, settings, files, folder)
    paths = dict(files)
    for key, output in made.outputs.items():
        paths[key] = folder / f"{key}.nii.gz"
        write_image(paths[key], np.asarray(output.data, np.float32), np.eye(4), "float32")
    return made, paths


def test_r2prime_is_that_of_the_sources(files, tmp_path):
    p, n, mask = sources()
    made = done(R2PRIME, run_of(files), chosen(), files, tmp_path)
    inside = mask & (made.outputs["mask_r2prime"].data > 0)
    assert inside.sum() > 0.9 * mask.sum()
    error = made.outputs["r2prime"].data - 137 * (p + n)
    assert abs(np.median(error[inside])) < 0.3
    assert made.methods == ("field_gradient",)
    assert not made.warnings
    assert made.metrics["negative_share"] < 0.01
    assert made.outputs["r2prime"].sidecar["ValidFraction"] > 0.9


def test_r2_above_r2star_is_measured_for_quality_control(files, tmp_path):
    high = tmp_path / "high.nii.gz"
    write_image(high, np.full(SHAPE, 60, np.float32), np.eye(4), "float32")
    made = done(R2PRIME, run_of(files, (("r2", high),)), chosen(), files | {"r2": high}, tmp_path)
    sidecar = made.outputs["r2prime"].sidecar
    assert sidecar["NegativeShare"] == made.metrics["negative_share"] > 0.9
    metric = quality.metrics_of(4)["r2prime_negative_share"]
    described = metric.describe(sidecar["NegativeShare"], build_settings({}).qc.choice.to_mapping())
    assert described["flag"] == "high"
    assert "the echo times in the sidecars" in described["advice"]


def test_nothing_is_made_without_spin_echoes_or_maps(files):
    run, settings = run_of(files, spin_echo=False), build_settings({})
    assert R2PRIME.makes(run, settings) == SPIN_ECHO.makes(run, settings) == SEPARATION.makes(run, settings) == ()
    assert SPIN_ECHO.makes(run_of(files), settings) == ("r2", "t2", "r2_sd", "xfm_mese_to_gre")
    assert SPIN_ECHO.makes(run_of(files), chosen(r2="none")) == ()
    given = (("r2", Path("r2")),)
    names = [step.name for step in plan(PARTICIPANT, run_of(files, given), settings).steps]
    assert "import-r2" in names
    assert "spin-echo" not in names
    assert R2PRIME.makes(run_of(files, given, spin_echo=False), settings) == ("r2prime", "r2prime_sd", "mask_r2prime")


@pytest.mark.parametrize("method", ["closed_form", "white_matter", "r2star_qsm", "decompose"])
def test_both_susceptibilities_come_out(method, files, tmp_path):
    p, n, mask = sources()
    settings = chosen(method)
    _, paths = with_r2prime(files, run_of(files), settings, tmp_path)
    made = done(SEPARATION, run_of(files), settings, paths, tmp_path)
    positive, negative = (made.outputs[key].data for key in SOURCES)
    assert positive.min() >= 0
    assert negative.max() <= 0
    iron, myelin = p > 0.1, n > 0.05
    assert positive[iron].mean() > 2 * positive[mask & ~iron].mean()
    assert negative[myelin].mean() < 1.5 * negative[mask & ~myelin].mean()
    assert made.methods == (method,)
    assert "Diamagnetic susceptibility is negative" in made.outputs["chi_diamagnetic"].sidecar["Sign"]


def test_a_map_of_r2prime_from_elsewhere_is_used(files, tmp_path):
    p, n, _ = sources()
    path = tmp_path / "given.nii.gz"
    write_image(path, (137 * (p + n)).astype(np.float32), np.eye(4), "float32")
    run, settings = run_of(files, (("r2prime", path),), spin_echo=False), chosen()
    assert R2PRIME.makes(run, settings) == ()
    assert SEPARATION in plan(PARTICIPANT, run, settings).steps
    made = done(SEPARATION, run, settings, files | {"r2prime": path}, tmp_path)
    np.testing.assert_allclose(made.outputs["chi_paramagnetic"].data, p, atol=1e-4)
    np.testing.assert_allclose(made.outputs["chi_diamagnetic"].data, -n, atol=1e-4)


def test_a_relaxivity_that_does_not_fit_is_measured_for_quality_control(files, tmp_path):
    path = tmp_path / "large.nii.gz"
    write_image(path, np.where(sources()[2], 30, 0).astype(np.float32), np.eye(4), "float32")
    settings = build_settings(
        {"separation": {"method": "chi_separation", "chi_separation": {"relaxivity": 5000.0, "rate_error": 2.0}}}
    )
    made = done(SEPARATION, run_of(files, (("r2prime", path),)), settings, files | {"r2prime": path}, tmp_path)
    share = made.outputs["separation_residual"].sidecar["RelativeResidual"]
    described = quality.metrics_of(4)["separation_residual"].describe(share, settings.qc.choice.to_mapping())
    assert described["flag"] == "high"
    assert "The relaxivity may not fit" in described["advice"]


def test_tables_of_regions_have_the_sources(files):
    run, settings = run_of(files), chosen()
    needs = TABLES[0].needs(run, settings)
    assert {"r2prime", *SOURCES} <= set(needs)
    assert not {"r2prime", *SOURCES} & set(TABLES[0].needs(run_of(files, spin_echo=False), build_settings({})))


def test_slices_of_two_dimensional_scans(files):
    assert slice_axis(run_of(files)) is None
    assert slice_axis(run_of(files, MRAcquisitionType="2D")) == 2
    assert slice_axis(run_of(files, MRAcquisitionType="2D", SliceEncodingDirection="j-")) == 1
