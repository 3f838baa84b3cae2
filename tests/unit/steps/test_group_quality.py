"""The group's table of numbers for quality control."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bids_app.derivatives import quality
from bids_app.derivatives.files import read_image, read_mask, write_image
from bids_app.derivatives.products import PRODUCTS
from bids_app.errors import QsmAppError
from bids_app.model.cohort import Cohort, CompletenessEntry
from bids_app.model.sections import QcChoices
from bids_app.steps.group.tables import quality_table

BOUNDS = QcChoices().to_mapping()


def described(**values):
    return {"numbers": {name: quality.metrics_of(3)[name].describe(value, BOUNDS) for name, value in values.items()}}


def test_every_run_has_a_row_and_flags_name_what_is_out_of_range(tmp_path):
    runs = {
        "sub-01": described(snr_echo1=40.0, snr_echo2=30.0, snr_echo3=4.0, mask_volume=90.0),
        "sub-02": described(snr_echo1=40.0, mask_volume=1500.0, ghost_fraction=None),
    }
    inputs = {name: tmp_path / f"{name}.json" for name in runs}
    for name, path in inputs.items():
        path.write_text(json.dumps(runs[name]))
    entries = (
        CompletenessEntry("01", None, "sub-01", "found"),
        CompletenessEntry("02", None, "sub-02", "found"),
        CompletenessEntry("03", None, "sub-03", "missing"),
    )
    done = quality_table(SimpleNamespace(record=Cohort((), entries), inputs=inputs))
    rows = done.outputs["group_qc"].rows
    assert [row["flags"] for row in rows] == ["snr_echo3;mask_volume", None, None]
    assert [row["snr_echo3"] for row in rows] == [4.0, None, None]
    assert [row["status"] for row in rows] == ["found", "found", "missing"]
    known = set(PRODUCTS["group_qc"].columns) | set(done.outputs["group_qc"].sidecar)
    assert all(set(row) <= known for row in rows)
    assert list(rows[0])[:5] == ["participant_id", "session_id", "run", "status", "snr_echo1"]
    assert "1 of 3" in done.warnings[0]


def test_every_bound_is_a_parameter_and_every_parameter_bounds_a_number():
    used = {name for number in quality.metrics_of(3).values() for name in (number.low, number.high) if name}
    assert used == set(BOUNDS)


def test_a_number_at_its_bound_is_in_range():
    number = quality.metrics_of(1)["mask_volume"]
    assert number.describe(BOUNDS["volume_min"], BOUNDS)["flag"] is None
    assert number.describe(BOUNDS["volume_min"] - 1, BOUNDS)["flag"] == "low"
    assert number.describe(BOUNDS["volume_max"] + 1, BOUNDS)["flag"] == "high"
    assert number.describe(None, BOUNDS)["flag"] is None


def test_masks_and_boxes_are_read_as_whole_images_are(tmp_path):
    rng = np.random.default_rng(3)
    data, affine = rng.normal(size=(5, 6, 7)).astype(np.float32), np.diag([2.0, 2.0, 3.0, 1.0])
    box = (slice(1, 4), slice(2, 6), slice(0, 3))
    for name in ("map.nii.gz", "map.npy"):
        path = tmp_path / name
        np.save(path, data) if name.endswith("npy") else write_image(path, data, affine, "float32")
        whole, _ = read_image(path)
        part, _ = read_image(path, box)
        assert np.array_equal(whole, data)
        assert np.array_equal(part, data[box])
        assert part.flags.c_contiguous
    write_image(tmp_path / "mask.nii.gz", data > 0.5, affine, "uint8")
    mask = read_mask(tmp_path / "mask.nii.gz")
    assert mask.dtype == bool
    assert mask.flags.c_contiguous
    assert np.array_equal(mask, data > 0.5)
    (tmp_path / "mask.nii.gz").write_bytes(b"broken")
    with pytest.raises(QsmAppError, match="damaged"):
        read_mask(tmp_path / "mask.nii.gz")
