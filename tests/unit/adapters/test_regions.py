"""Names of regions, their statistics, and how well images match."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bids_app.adapters import labels, quality, regions
from bids_app.adapters.labels import FASTSURFER, Region
from bids_app.derivatives.columns import REGION_COLUMNS
from bids_app.errors import UsageError

TABLE = {1: Region(1, "putamen", "L"), 2: Region(2, "putamen", "R"), 3: Region(3, "lateral ventricle", "L")}


def test_statistics_are_those_of_the_voxels():
    rng = np.random.default_rng(1)
    seg = rng.integers(0, 3, (9, 8, 7))
    chi = rng.normal(size=seg.shape).astype(np.float32)
    r2star = rng.uniform(10, 50, seg.shape).astype(np.float32)
    valid = rng.random(seg.shape) > 0.3
    chi[seg == 2] = 0  # zero is a value
    rows = regions.statistics(seg, TABLE, {"chi": chi, "r2star": r2star}, valid, 2.5)
    assert [row["index"] for row in rows] == [1, 2, 3]
    others = ("r2prime_", "chi_paramagnetic_", "chi_diamagnetic_")
    measured = [name for name in REGION_COLUMNS if not name.startswith(others)]
    assert list(rows[0]) == measured  # the table's order, less the maps that were not given
    values = chi[(seg == 1) & valid].astype(float)
    first = rows[0]
    assert first["voxels"] == values.size
    assert first["region_voxels"] == (seg == 1).sum()
    assert first["volume_mm3"] == (seg == 1).sum() * 2.5
    assert first["valid_fraction"] == pytest.approx(values.size / (seg == 1).sum())
    expected = {
        "mean": values.mean(),
        "std": values.std(ddof=1),
        "median": np.median(values),
        "min": values.min(),
        "mad": np.median(np.abs(values - np.median(values))),
        "max": values.max(),
        "p05": np.percentile(values, 5),
        "p95": np.percentile(values, 95),
    }
    for name, value in expected.items():
        assert first[f"chi_{name}"] == pytest.approx(value)
    assert rows[1]["chi_mean"] == 0
    assert rows[1]["voxels"] == ((seg == 2) & valid).sum()
    assert rows[2]["volume_mm3"] == 0
    assert rows[2]["chi_mean"] is None
    assert rows[2]["valid_fraction"] is None


def test_voxels_outside_the_mask_and_not_finite_ones_do_not_count():
    seg = np.ones((4, 4, 4), int)
    chi = np.full(seg.shape, 1000.0, np.float32)
    valid = np.zeros(seg.shape, bool)
    valid[1:3] = True
    chi[valid] = 2
    chi[1, 0, 0] = np.nan
    row = regions.statistics(seg, {1: TABLE[1]}, {"chi": chi}, valid, 1)[0]
    assert (row["chi_mean"], row["chi_max"], row["voxels"], row["valid_fraction"]) == (2, 2, 32, 0.5)
    none = regions.statistics(seg, {1: TABLE[1]}, {"chi": chi}, np.zeros_like(valid), 1)[0]
    assert none["chi_mean"] is None and none["valid_fraction"] == 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shape"):
        regions.statistics(np.ones((3, 3, 3), int), TABLE, {"chi": np.ones((3, 3, 2))}, np.ones((3, 3, 3), bool), 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_erosion_is_that_of_each_region_alone(seed, times):
    seg = ndimage.zoom(np.random.default_rng(seed).integers(0, 4, (3, 3, 3)), 4, order=0)
    eroded = regions.erode(seg, times)
    for index in (1, 2, 3):
        alone = ndimage.binary_erosion(seg == index, iterations=times) if times else seg == index
        assert np.array_equal(eroded == index, alone)


def test_regions_by_name():
    assert labels.find(FASTSURFER, "putamen") == (12, 51)
    assert labels.find(FASTSURFER, "Left-Putamen") == (12,)
    assert labels.find(FASTSURFER, "csf") == (4, 43)
    assert labels.find(FASTSURFER, "16") == (16,)
    with pytest.raises(UsageError, match="putamen"):
        labels.find(FASTSURFER, "putamin")
    assert labels.find({3: Region(3, "cerebrospinal fluid")}, "csf") == (3,)


def test_fastsurfer_table():
    assert len({(r.name, r.hemisphere) for r in FASTSURFER.values()}) == len(FASTSURFER)
    assert (FASTSURFER[1035].name, FASTSURFER[2035].hemisphere) == ("insula cortex", "R")
    assert {1004, 1032, 1033} & set(FASTSURFER) == set()
    assert labels.named(FASTSURFER, [12, 999])[999].name == "label 999"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Left-Putamen", ("Putamen", "L")),
        ("putamen_R", ("putamen", "R")),
        ("rh red nucleus", ("red nucleus", "R")),
        ("right caudate", ("caudate", "R")),
        ("Brain Stem", ("Brain Stem", "n/a")),
        ("lingual", ("lingual", "n/a")),
    ],
)
def test_sides_in_names(name, expected):
    assert labels.side_of(name) == expected


def test_tables_need_index_and_name():
    regions = labels.from_rows([{"index": "0", "name": "bg"}, {"index": "7", "name": "dentate", "hemisphere": "left"}])
    assert regions == {7: Region(7, "dentate", "L")}
    with pytest.raises(ValueError, match="index and name"):
        labels.from_rows([{"label": "7"}])


def test_quality_knows_a_match_from_a_mismatch():
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij")
    head = x**2 + y**2 + z**2 < 0.8
    tissue = ndimage.gaussian_filter(rng.normal(size=head.shape), 2)
    fixed = np.where(head, 10 + 20 * tissue, 0).astype(np.float32)
    moved = np.where(head, 12 - 18 * tissue, 0).astype(np.float32)  # another contrast
    metrics, warnings = quality.registration_quality(fixed, moved, (2, 2, 2), ("magnitude", "T1w"))
    assert metrics["overlap_dice"] > 0.97
    assert not warnings
    _, warnings = quality.registration_quality(fixed, np.roll(moved, 3, 1), (2, 2, 2), ("magnitude", "T1w"))
    assert "match better after a shift of" in warnings[0]
    _, warnings = quality.registration_quality(fixed, np.roll(moved, 18, 1), (2, 2, 2), ("magnitude", "T1w"))
    assert "overlap" in warnings[0]
    assert quality.dice(head, head) == 1
    assert quality.dice(head, ~head) == 0
    assert quality.dice(~head & head, ~head & head) == 0
