"""Error of background methods and inversions on the phantom: ``python -m benchmarks.accuracy``.

Four noise levels, axial and oblique, isotropic and 0.6x0.6x2 mm, from the noisy multi-echo phase through the field fit,
inside the true mask. ``as in presets``: with separate strong sources at the mask boundary
(:mod:`bids_app.qsm.background.boundary_sources`), and without the null-space trend
(:mod:`bids_app.qsm.inversion.null_space_trend`). Columns: NRMSE and detrended NRMSE (%), XSIM, slope of the deep grey
nuclei's means, and streaks: SD of the error in white matter away from nuclei over the truth's SD (%).
"""

import itertools
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.common import map_scores, parser, publish
from bids_app import qsm
from bids_app.phantom import simulate, subjects
from bids_app.phantom.acquisition import Acquisition
from bids_app.phantom.atlas import nucleus_labels
from bids_app.phantom.template import load_head
from bids_app.qsm.background.boundary_sources import exclude_boundary_sources
from bids_app.qsm.field.linear import fit_linear
from bids_app.qsm.field.reliability import reliability_weights
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.null_space_trend import appearance, null_space_trend
from bids_app.qsm.phase.mcpc3ds import mcpc3ds
from bids_app.qsm.pipeline.boundary_sources import add_boundary_sources, initial_estimate
from bids_app.qsm.units import hz_to_ppm

SNR = (20, 40, 80, 160)
TILTS = {"axial": (0.0, 0.0, 0.0), "oblique": (20.0, 10.0, 0.0)}
PRESET = f"{qsm.DEFAULT_INVERSION}, as in presets"
HEAD = ("voxel", "view", "SNR", "background", "inversion", "NRMSE %", "detrended %", "XSIM", "slope", "streaks %")
VOXELS = {"2x2x2 mm": (2.0, 2.0, 2.0), "0.6x0.6x2 mm": (0.6, 0.6, 2.0)}


@dataclass(frozen=True)
class CleanScan:
    """Noise-free signal ``[echo, x, y, z]`` of one person, its affine, and the truth."""

    signal: Any
    affine: Any
    chi: Any
    mask: Any
    nuclei: Any

    def noisy(self, snr):
        """Return phase (rad) and magnitude with noise; the SNR is the brain's at the first echo."""
        rng = np.random.default_rng(0)
        sigma = np.float32(np.abs(self.signal[0])[self.mask].mean() / snr)
        shape = self.signal.shape
        noise = rng.standard_normal(shape, np.float32) + np.complex64(1j) * rng.standard_normal(shape, np.float32)
        noise *= sigma
        noise += self.signal
        return np.angle(noise).astype(np.float32), np.abs(noise).astype(np.float32)


def clean_head(voxel_size, tilt):
    """Simulate one person without noise."""
    person = subjects.people(1, 0)[0]
    head = subjects.shape_head(person, load_head())
    acquisition = Acquisition(voxel_size=voxel_size, oblique=tilt, snr=np.inf)
    properties = subjects.tissue_table(
        person, age=person.age, field_strength=acquisition.field_strength, age_effect=1.0, group_effect=0.0
    )
    body = simulate.make_body(person, head, properties, age=person.age, session=0, tilt=(0.0, 0.0, 0.0))
    return simulate.simulate(body, acquisition, person.random(6, 0))


def clean_scan(voxel_size, tilt, cache=None):
    """Return one person without noise, whom all noise levels share; ``cache`` is a folder that keeps the scan."""
    name = "_".join(f"{v:g}" for v in (*voxel_size, *tilt))
    path = None if cache is None else cache / f"{name}.npz"
    if path is not None and path.exists():
        with np.load(path) as stored:
            return CleanScan(**{key: stored[key] for key in stored.files})
    done = clean_head(voxel_size, tilt)
    made = CleanScan(done.signal, done.affine, done.truth.chi, done.truth.mask, done.truth.nuclei)
    if path is not None:
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{field.name: getattr(made, field.name) for field in fields(made)})
    return made


def field_of(done, snr):
    """Return the total field (ppm), weights and magnitude from the noisy signal."""
    grid, scan = Grid.from_affine(done.mask.shape, done.affine), Acquisition()
    phase, magnitude = done.noisy(snr)
    times = scan.echo_times
    phase = mcpc3ds(phase, magnitude, times, done.mask, grid).phase
    unwrapped = qsm.UNWRAP["romeo"](phase, done.mask, grid, magnitude=magnitude, echo_times=times)
    fit = fit_linear(unwrapped, magnitude, times, done.mask, grid=grid)
    weights = reliability_weights(fit.sd_hz, done.mask, fit.residual_rad)
    return grid, hz_to_ppm(fit.field_hz, scan.field_strength), weights, np.sqrt(np.square(magnitude).sum(0))


def pairs(default_background):
    """Every inversion after the default background method, and every background method before the default inversion."""
    for name in sorted(name for name, method in qsm.INVERSIONS.items() if "model" not in method.needs):
        yield ("none" if name in qsm.SINGLE_STEP else default_background), name
    yield default_background, PRESET
    for name in sorted(set(qsm.BACKGROUND) - {default_background}):
        yield name, qsm.DEFAULT_INVERSION


def maps(wanted, grid, total, weights, magnitude, mask):
    """Yield background method, inversion and susceptibility; a background is removed once for all inversions."""
    local, done = (total, mask), "none"
    for background, inversion in sorted(wanted, key=lambda pair: pair[0]):
        if inversion == PRESET:
            yield background, inversion, as_in_presets(background, grid, total, weights, magnitude, mask)
            continue
        if background != done:
            local, done = (total, mask), background
            if background != "none":
                local = qsm.BACKGROUND[background](total, mask, grid, weights=weights)
        field, valid = local
        yield background, inversion, qsm.INVERSIONS[inversion](field, valid, grid, weights=weights, magnitude=magnitude)


def as_in_presets(background, grid, total, weights, magnitude, mask):
    """Return the default inversion's map, strong sources at the rim on their own, less the trend that tissue tells."""
    rest = exclude_boundary_sources(*initial_estimate(total, mask, grid, weights), grid)
    local, known = qsm.BACKGROUND[background](total, rest, grid, weights=weights)
    chi = qsm.INVERSIONS[qsm.DEFAULT_INVERSION](local, known, grid, weights=weights)
    chi, valid = add_boundary_sources(chi, known, rest, total, mask, grid, weights)
    return (chi - null_space_trend(chi, valid, grid, appearance(magnitude, valid, grid))) * valid


def scores(chi, truth):
    """NRMSE, detrended NRMSE, XSIM over the whole mask (what a method leaves out counts as zero), slope, streaks."""
    mask = truth.mask
    calm = mask & ~ndimage.binary_dilation(truth.nuclei > 0, iterations=3) & (np.abs(truth.chi) < 0.03)
    error = (chi - truth.chi)[calm]
    streaks = 100 * float(np.std(error) / np.std(truth.chi[mask]))
    return *map_scores(chi, truth.chi, mask, truth.nuclei, nucleus_labels()), f"{streaks:.0f}"


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--background", default="lbv", choices=sorted(qsm.BACKGROUND), help="before the inversions")
    options.add_argument("--voxel-sizes", nargs="+", default=None, help="such as 2x2x2, instead of the two")
    options.add_argument("--snr", nargs="+", type=float, default=SNR)
    options.add_argument("--views", nargs="+", default=None, choices=sorted(TILTS))
    options.add_argument("--cache", type=Path, default=None, help="folder that keeps the simulated scans")
    args = options.parse_args(argv)
    voxels = VOXELS
    if args.quick:
        voxels = {"4 mm": (4.0, 4.0, 4.0)}
    if args.voxel_sizes:
        voxels = {f"{text} mm": tuple(float(v) for v in text.split("x")) for text in args.voxel_sizes}
    levels, tilts = (args.snr[-1:], {"axial": TILTS["axial"]}) if args.quick else (args.snr, TILTS)
    wanted = [p for p in pairs(args.background) if not args.only or set(p) & set(args.only)]
    for (voxel, size), (view, tilt) in itertools.product(voxels.items(), tilts.items()):
        if args.views and view not in args.views:
            continue
        done = clean_scan(size, tilt, args.cache)
        for snr in levels:
            for background, inversion, chi in maps(wanted, *field_of(done, snr), done.mask):
                row = (voxel, view, f"{snr:g}", background, inversion, *scores(chi, done))
                print(*row, sep="\t", flush=True)
                # Row by row, so that a run that is stopped keeps what it has measured.
                publish(
                    args,
                    "accuracy",
                    f"Measured with this version's defaults, {time.strftime('%Y-%m-%d')}.",
                    HEAD,
                    [row],
                    5,
                )


if __name__ == "__main__":
    main()
