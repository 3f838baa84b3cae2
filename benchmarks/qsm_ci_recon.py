"""Run a stage of the public QSM-CI leaderboard: ``recon.py STAGE INPUT_FOLDER OUTPUT_FOLDER``.

:mod:`benchmarks.qsm_ci` copies this file into a submission folder. It reads the files of the leaderboard
(``phase.nii.gz`` and ``magnitude.nii.gz`` with echoes last, ``totalfield.nii.gz`` and ``localfield.nii.gz`` in ppm,
``mask.nii.gz``, ``params.json``) and writes the file of the stage, with this software's defaults.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_app import qsm
from bids_app.qsm.background.boundary_sources import exclude_boundary_sources
from bids_app.qsm.field.linear import fit_linear
from bids_app.qsm.field.reliability import reliability_weights
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.null_space_trend import appearance, null_space_trend
from bids_app.qsm.phase.mcpc3ds import mcpc3ds
from bids_app.qsm.pipeline.boundary_sources import add_boundary_sources, initial_estimate
from bids_app.qsm.units import hz_to_ppm

BACKGROUND = "lbv"


class Inputs:
    """The files of one folder; what a stage does not need is not read."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.params = json.loads((self.folder / "params.json").read_text(encoding="utf-8"))
        image = nib.load(self.folder / "mask.nii.gz")
        self.mask, self.affine = np.asarray(image.dataobj) > 0.5, image.affine
        size = tuple(float(v) for v in self.params.get("voxel_size", image.header.get_zooms()[:3]))
        self.grid = Grid(self.mask.shape, size, tuple(float(b) for b in self.params.get("B0_dir", (0, 0, 1))))

    def volume(self, name):
        """Return an image as float32, or None where the folder has none."""
        path = self.folder / f"{name}.nii.gz"
        return np.asarray(nib.load(path).dataobj, np.float32) if path.exists() else None

    def echoes(self, name):
        """Return the echoes of an image, first axis."""
        volume = self.volume(name)
        volume = volume[..., None] if volume.ndim == 3 else volume
        return np.ascontiguousarray(np.moveaxis(volume, 3, 0))


def total_field(inputs):
    """Return the total field (ppm), its weights and the combined magnitude, from phase and magnitude."""
    times = tuple(float(t) for t in np.atleast_1d(inputs.params["TE"]))
    phase, magnitude = inputs.echoes("phase"), inputs.echoes("magnitude")
    if len(times) > 1:
        phase = mcpc3ds(phase, magnitude, times, inputs.mask, inputs.grid).phase
    phase = qsm.UNWRAP["romeo"](phase, inputs.mask, inputs.grid, magnitude=magnitude, echo_times=times)
    fit = fit_linear(phase, magnitude, times, inputs.mask, grid=inputs.grid)
    weights = reliability_weights(fit.sd_hz, inputs.mask, fit.residual_rad)
    return hz_to_ppm(fit.field_hz, float(inputs.params["B0"])), weights, np.sqrt(np.square(magnitude).sum(0))


def from_total_field(inputs, total, weights, magnitude):
    """Return the susceptibility of a total field (ppm): boundary sources separate, null-space trend removed."""
    mask, grid = inputs.mask, inputs.grid
    weights = mask.astype(np.float32) if weights is None else weights
    rest = exclude_boundary_sources(*initial_estimate(total, mask, grid, weights), grid)
    local, known = qsm.BACKGROUND[BACKGROUND](total, rest, grid, weights=weights)
    chi = qsm.INVERSIONS[qsm.DEFAULT_INVERSION](local, known, grid, weights=weights)
    chi, valid = add_boundary_sources(chi, known, rest, total, mask, grid, weights)
    if magnitude is not None:
        chi = chi - null_space_trend(chi, valid, grid, appearance(magnitude, valid, grid))
    return chi * valid


def field_mapping(inputs):
    return "totalfield", total_field(inputs)[0]


def background(inputs):
    local, known = qsm.BACKGROUND[BACKGROUND](inputs.volume("totalfield"), inputs.mask, inputs.grid)
    return "localfield", local * known


def dipole(inputs):
    return "chimap", qsm.INVERSIONS[qsm.DEFAULT_INVERSION](inputs.volume("localfield"), inputs.mask, inputs.grid)


def background_and_dipole(inputs):
    magnitude = inputs.volume("magnitude")
    if magnitude is not None and magnitude.ndim == 4:
        magnitude = np.sqrt(np.square(magnitude).sum(3))
    return "chimap", from_total_field(inputs, inputs.volume("totalfield"), None, magnitude)


def end_to_end(inputs):
    return "chimap", from_total_field(inputs, *total_field(inputs))


STAGES = {
    "field-mapping": field_mapping,
    "bfr": background,
    "dipole": dipole,
    "bfr+dipole": background_and_dipole,
    "end-to-end": end_to_end,
}


def main(argv):
    stage, folder, out = argv
    inputs = Inputs(folder)
    name, values = STAGES[stage](inputs)
    values = np.where(inputs.mask, np.nan_to_num(values), 0).astype(np.float32)
    nib.save(nib.Nifti1Image(values, inputs.affine), Path(out) / f"{name}.nii.gz")


if __name__ == "__main__":
    main(sys.argv[1:])
