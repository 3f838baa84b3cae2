"""Scores of inversions on a local field and a reference that a user has."""

import nibabel as nib
import numpy as np
import pytest

from benchmarks import reference
from benchmarks.tables import read_rows
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field

SHAPE = (24, 22, 20)


@pytest.fixture
def prefix(tmp_path):
    """A cube and its field on disk."""
    chi = np.zeros(SHAPE, np.float32)
    chi[9:14, 9:14, 8:12] = 0.2
    mask = np.zeros(SHAPE, np.float32)
    mask[2:-2, 2:-2, 2:-2] = 1
    field = forward_field(chi, Grid(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 1.0))) * mask
    for name, volume in (("field", field), ("cosmos", chi), ("mask", mask)):
        nib.save(nib.Nifti1Image(volume.astype(np.float32), np.eye(4)), tmp_path / f"head_{name}.nii.gz")
    return tmp_path / "head"


def test_a_perfect_map_and_one_of_half_the_size(prefix):
    data = reference.read_data(prefix)
    assert [float(s) for s in reference.scores(data.reference, data)] == [0.0, 1.0, 1.0, 1.0, 100.0]
    nrmse, five, seven, slope, high = (float(s) for s in reference.scores(0.5 * data.reference, data))
    assert (nrmse, slope, high) == (50.0, 0.5, 50.0)
    assert max(five, seven) < 1


def test_the_bands_of_a_spectrum_hold_all_power(prefix):
    data = reference.read_data(prefix)
    bands = list(reference.error_spectrum(0.5 * data.reference, data))
    for quantity in ("k", "D"):
        powers = [(float(b[3]), float(b[4])) for b in bands if b[0] == quantity]
        whole, wrong = map(sum, zip(*powers, strict=True))
        assert whole == pytest.approx(100, abs=0.5)
        assert wrong == pytest.approx(25, abs=0.5)  # half the amplitude is a quarter of the power


def test_tables_of_the_inversions_that_were_named(prefix, tmp_path, capsys):
    readme = tmp_path / "README.md"
    reference.main([str(prefix), "--only", "tkd", "tikhonov", "--spectrum", "--readme", str(readme)])
    rows = read_rows(readme, "reference")
    assert [(r["data"], r["inversion"]) for r in rows] == [("head", "tikhonov"), ("head", "tkd")]
    assert all(0 < float(r["NRMSE %"]) < 100 for r in rows)
    assert "| head | tkd | k |" in capsys.readouterr().out


def test_a_missing_image_and_another_grid_are_named(prefix):
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.float32), np.eye(4)), f"{prefix}_mask.nii.gz")
    with pytest.raises(SystemExit, match=r"head_mask.nii.gz has shape \(3, 3, 3\)"):
        reference.read_data(prefix)
    with pytest.raises(SystemExit, match=r"other_field.nii.gz does not exist"):
        reference.read_data(prefix.with_name("other"))
