"""The benchmark of masks: regions of a head, and rows of heads whose mask is eroded."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np

from benchmarks.masks import BOUNDARY_MM, REGIONS, block_rows, regions_of
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field

SHAPE = (36, 34, 32)


def ball(radius):
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    return x**2 + y**2 + z**2 < radius**2


def test_regions_lie_in_the_brain():
    mask, tissue, nuclei = ball(14), np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    tissue[...] = 2
    tissue[ball(14) & ~ball(10)] = 1
    tissue[17, 17, :] = 4
    nuclei[ball(3)] = 1
    regions = regions_of(SimpleNamespace(mask=mask, tissue=tissue, nuclei=nuclei), Grid(SHAPE))
    assert tuple(regions) == REGIONS
    assert all(region.any() and not (region & ~mask).any() for region in regions.values())
    assert not (regions["boundary (6 mm)"] & ball(14 - BOUNDARY_MM - 2)).any()
    assert not (regions["white matter"] & regions["cortex"]).any()


def test_a_mask_that_is_eroded_loses_brain_and_the_boundary(tmp_path):
    mask = ball(14)
    x = (np.arange(SHAPE[0]) - SHAPE[0] / 2)[:, None, None]
    chi = (0.05 * np.cos(x / 2) * mask).astype(np.float32)
    images = {"field": forward_field(chi, Grid(SHAPE)) * mask, "cosmos": chi, "mask": mask, "scored": mask}
    for name, data in ((f"{head}_{what}", data) for head in "ab" for what, data in images.items()):
        nib.save(nib.Nifti1Image(data.astype(np.float32), np.eye(4)), tmp_path / f"{name}.nii.gz")
    rows = [row for row in block_rows(tmp_path) if row[0].startswith("block a")]
    assert [row[1] for row in rows] == ["0 voxels", "1 voxel", "2 voxels", "3 voxels"]
    left, boundary = ([float(row[column]) for row in rows] for column in (5, 4))
    assert left == sorted(left, reverse=True) and left[0] == 100
    assert boundary[3] > boundary[0] + 20
    assert float(rows[0][2]) < 60
