"""The step of susceptibility-weighted images: its method, its needs, and the image of every echo."""

from types import SimpleNamespace

import numpy as np
import pytest

from bids_app import qsm
from bids_app.derivatives.files import read_image, write_image
from bids_app.model.records import Echo
from bids_app.model.settings import build_settings
from bids_app.model.step import StepInput
from bids_app.qsm.grid import Grid
from bids_app.steps.participant.swi import SWI

SHAPE = (10, 10, 6)
TIMES = (0.01, 0.02)


@pytest.fixture
def scan(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "total_field": rng.normal(0, 8, SHAPE),
        "chimap": rng.normal(0, 0.2, SHAPE),
        "magnitude": rng.uniform(50, 100, SHAPE),
        "mask_brain": np.ones(SHAPE),
        "magnitude1": rng.uniform(50, 100, SHAPE),
        "magnitude2": rng.uniform(20, 50, SHAPE),
    }
    files = {name: tmp_path / f"{name}.nii.gz" for name in arrays}
    for name, path in files.items():
        write_image(path, arrays[name].astype(np.float32), np.eye(4), "float32")
    echoes = tuple(
        Echo(number=n, echo_time=time, phase=files["total_field"], magnitude=files[f"magnitude{n}"])
        for n, time in enumerate(TIMES, start=1)
    )
    return SimpleNamespace(
        echoes=echoes, echo_times=TIMES, coils=1, b0_dir=None, given_maps=(), given=lambda name: None
    ), files


def run(scan, tmp_path, **choice):
    record, files = scan
    settings = build_settings({"swi": choice})
    needed = {key: files[key] for key in SWI.needs(record, settings)} | dict(SWI.sources(record, settings))
    return SWI.function(StepInput(record, settings, needed, tmp_path, 1)), settings


@pytest.mark.parametrize("name", sorted(qsm.SWI))
def test_every_method_runs_by_its_name_on_every_echo(name, scan, tmp_path):
    result, settings = run(scan, tmp_path, method=name, per_echo=True, **{name: {"thickness": 3.0}})
    assert set(result.outputs) == set(SWI.makes(scan[0], settings)) == {"swi", "minip", "swi_echoes"}
    assert result.methods == (qsm.SWI[name].key,)
    assert result.outputs["minip"].sidecar["SlabThickness"] == 3.0
    images = {key: read_image(path)[0] for key, path in scan[1].items()}
    expected = qsm.SWI[name](
        images["total_field"],
        images["magnitude2"],
        images["mask_brain"] > 0,
        Grid(SHAPE, (20.0, 20.0, 20.0)),  # an object smaller than a head is enlarged to one
        echo_time=TIMES[1],
        chi_ppm=images["chimap"],
    )
    every = result.outputs["swi_echoes"].data
    assert every.shape == (*SHAPE, 2)
    np.testing.assert_array_equal(every[..., 1], expected.swi)
    assert not np.array_equal(every[..., 0], every[..., 1])


def test_the_map_and_the_echoes_are_read_only_where_they_are_used(scan, tmp_path):
    result, settings = run(scan, tmp_path)
    assert set(result.outputs) == {"swi", "minip"}
    assert "chimap" not in SWI.needs(scan[0], settings)
    assert not SWI.sources(scan[0], settings)
