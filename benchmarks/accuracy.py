"""Error of background methods and inversions on the phantom: ``python -m benchmarks.accuracy``.

Four noise levels, axial and oblique, isotropic and 0.6x0.6x2 mm, from the noisy multi-echo phase through the field fit,
inside the true mask. Columns: NRMSE and detrended NRMSE (%), XSIM, slope of the deep grey nuclei's means, and streaks:
SD of the error in white matter away from nuclei over the truth's SD (%).
"""

import itertools

import numpy as np
from scipy import ndimage

from benchmarks.common import machine, parser, publish
from bids_app import qsm
from bids_app.phantom import metrics, simulate, subjects
from bids_app.phantom.acquisition import Acquisition
from bids_app.phantom.study import nucleus_labels
from bids_app.phantom.template import load_head
from bids_app.qsm.fieldfit import fit_linear
from bids_app.qsm.geometry import Grid, hz_to_ppm
from bids_app.qsm.offsets import mcpc3ds
from bids_app.qsm.reliability import reliability_weights

SNR = (20, 40, 80, 160)
TILTS = {"axial": (0.0, 0.0, 0.0), "oblique": (20.0, 10.0, 0.0)}
VOXELS = {"2x2x2 mm": (2.0, 2.0, 2.0), "0.6x0.6x2 mm": (0.6, 0.6, 2.0)}


def scan(voxel_size, tilt, snr):
    """Return the simulated scan of one person."""
    person = subjects.people(1, 0)[0]
    head = subjects.shape_head(person, load_head())
    acquisition = Acquisition(voxel_size=voxel_size, oblique=tilt, snr=snr)
    properties = subjects.tissue_table(
        person, age=person.age, field_strength=acquisition.field_strength, age_effect=1.0, group_effect=0.0
    )
    body = simulate.make_body(person, head, properties, age=person.age, session=0, tilt=(0.0, 0.0, 0.0))
    return simulate.simulate(body, acquisition, person.random(6, 0)), acquisition


def field_of(done, acquisition):
    """Return the total field (ppm), weights and magnitude from the noisy signal."""
    mask = done.truth.mask
    grid = Grid.from_affine(mask.shape, done.affine)
    phase = np.angle(done.signal).astype(np.float32)
    magnitude = np.abs(done.signal).astype(np.float32)
    times = acquisition.echo_times
    phase = mcpc3ds(phase, magnitude, times, mask, grid).phase
    unwrapped = qsm.UNWRAP["romeo"](phase, mask, grid, magnitude=magnitude, echo_times=times)
    fit = fit_linear(unwrapped, magnitude, times, mask)
    weights = reliability_weights(fit.sd_hz, mask, fit.residual_rad)
    return grid, hz_to_ppm(fit.field_hz, acquisition.field_strength), weights, np.sqrt(np.square(magnitude).sum(0))


def pairs(default_background):
    """Every inversion after the default background method, and every background method before the default inversion."""
    for name in sorted(qsm.INVERSIONS):
        yield ("none" if name in qsm.SINGLE_STEP else default_background), name
    for name in sorted(set(qsm.BACKGROUND) - {default_background}):
        yield name, qsm.DEFAULT_INVERSION


def invert(background, inversion, grid, total, weights, magnitude, mask):
    local, valid = total, mask
    if background != "none":
        local, valid = qsm.BACKGROUND[background](total, mask, grid, weights=weights)
    return qsm.INVERSIONS[inversion](local, valid, grid, weights=weights, magnitude=magnitude)


def scores(chi, truth):
    """NRMSE, detrended NRMSE, XSIM over the whole mask (what a method leaves out counts as zero), slope, streaks."""
    mask = truth.mask
    regional = metrics.regions(chi, truth.chi, mask, truth.nuclei, nucleus_labels())
    calm = mask & ~ndimage.binary_dilation(truth.nuclei > 0, iterations=3) & (np.abs(truth.chi) < 0.03)
    error = (chi - truth.chi)[calm]
    streaks = 100 * float(np.std(error) / np.std(truth.chi[mask]))
    return (
        f"{metrics.nrmse(chi, truth.chi, mask):.1f}",
        f"{metrics.detrended_nrmse(chi, truth.chi, mask):.1f}",
        f"{metrics.xsim(chi, truth.chi, mask):.3f}",
        f"{metrics.slope(regional):.2f}",
        f"{streaks:.0f}",
    )


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--background", default="lbv", choices=sorted(qsm.BACKGROUND), help="before the inversions")
    options.add_argument("--voxel-sizes", nargs="+", default=None, help="such as 2x2x2, instead of the two")
    options.add_argument("--snr", nargs="+", type=float, default=SNR)
    args = options.parse_args(argv)
    voxels = VOXELS
    if args.quick:
        voxels = {"4 mm": (4.0, 4.0, 4.0)}
    if args.voxel_sizes:
        voxels = {f"{text} mm": tuple(float(v) for v in text.split("x")) for text in args.voxel_sizes}
    levels, tilts = (args.snr[-1:], {"axial": TILTS["axial"]}) if args.quick else (args.snr, TILTS)
    head = ("voxel", "view", "SNR", "background", "inversion", "NRMSE %", "detrended %", "XSIM", "slope", "streaks %")
    for (voxel, size), (view, tilt), snr in itertools.product(voxels.items(), tilts.items(), levels):
        done, acquisition = scan(size, tilt, snr)
        grid, total, weights, magnitude = field_of(done, acquisition)
        rows = []
        for background, inversion in pairs(args.background):
            if args.only and not {background, inversion} & set(args.only):
                continue
            chi = invert(background, inversion, grid, total, weights, magnitude, done.truth.mask)
            rows.append((voxel, view, f"{snr:g}", background, inversion, *scores(chi, done.truth)))
            print(*rows[-1], sep="\t", flush=True)
        # Scan by scan, so that a run that is stopped keeps what it has measured.
        publish(args, "accuracy", f"{machine()}.", head, rows, 5)


if __name__ == "__main__":
    main()
