"""This software's own stages switched off one at a time: ``python -m benchmarks.on_off``.

Null-space trend, boundary sources, LBV's corrections and Nyquist alternation over simulated heads whose truth is known,
and over real scans that have none (``--bids DATASET SUBJECT``, several times). The transmit and receive phase is
removed from single echoes alone: it is switched over the last echo of every scan.

Columns with a truth: NRMSE, XSIM of a Gaussian window of 7 voxels, and slope of deep grey nuclei, each in the same
voxels for all rows of a scan. Columns without one:

* halves %: difference of the maps of two halves of the echoes (odd and even ones; with three echoes the first and the
  last two), root mean square over that of the map. A stage that only smooths lowers it too.
* sides: correlation of the map, blurred by 4 mm, with itself mirrored about the plane in which the magnitude is most
  symmetrical. Brains are symmetrical, errors of background removal are not.
* streaks: power in the cone of the dipole kernel over that beside it (:func:`bids_app.qsm.quality.maps.streak_ratio`).
* boundary: spread of the local field in the outer 4 mm over that of the core.

No column alone says that a map is right. A stage loses where all columns that apply say so.
"""

import sys

import numpy as np
from scipy import ndimage

from benchmarks import heads
from benchmarks.common import machine, parser
from benchmarks.tables import table, write_table
from bids_app import qsm
from bids_app.phantom import metrics
from bids_app.qsm.background.lbv import LbvParams
from bids_app.qsm.quality.maps import boundary_ratio, streak_ratio

HEAD = ("scan", "without", "NRMSE %", "XSIM", "slope", "halves %", "sides", "streaks", "boundary")
#: Choices of the background section and parameters that differ from the defaults.
OFF = {
    "-": ({}, {}),
    "null-space trend": ({"null_space_trend": "keep"}, {}),
    "boundary sources": ({"boundary_sources": "keep"}, {}),
    "LBV corrections": ({}, {"lbv": LbvParams(corrections=0)}),
    "alternation": ({"alternation": "keep"}, {}),
}
MIN_VOXELS = 100  # on both sides, for a correlation
SINGLE = {"- (one echo)": ({}, {}), "transmit phase (one echo)": ({"transmit_receive_phase": "keep"}, {})}


def symmetry_plane(magnitude):
    """Return the axis and twice the place of the plane about which an image is most symmetrical (voxels)."""
    image = ndimage.gaussian_filter(magnitude, 1.0)
    best = (-2.0, 0, 0)
    for axis in range(3):
        size = image.shape[axis]
        for place in range(round(0.7 * size), round(1.3 * size)):
            half, other = _mirrored(image, axis, place)
            best = max(best, (float(np.corrcoef(half.ravel(), other.ravel())[0, 1]), axis, place))
    return best[1:]


def _mirrored(image, axis, place):
    """Return the overlap of an image with its mirror image about ``place / 2``: both as they lie in the image."""
    low, high = max(0, place - image.shape[axis] + 1), min(image.shape[axis] - 1, place)
    part = np.take(image, range(low, high + 1), axis)
    return part, np.flip(part, axis)


def side_correlation(chi, valid, grid, plane):
    """Correlation of a map with itself mirrored, in voxels that are valid on both sides; None where too few are."""
    sigma = [4.0 / 2.355 / size for size in grid.voxel_size]
    weight = ndimage.gaussian_filter(valid.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(np.where(valid, chi - chi[valid].mean(), 0), sigma) / np.maximum(weight, 0.2)
    half, other = _mirrored(smooth, *plane)
    both = np.logical_and(*_mirrored(valid, *plane))
    return float(np.corrcoef(half[both], other[both])[0, 1]) if np.count_nonzero(both) >= MIN_VOXELS else None


def halves_of(scan):
    """Return the echoes of two halves, none with fewer than three echoes."""
    count = len(scan.times)
    if count < 3:
        return ()
    return ((0, 1), (1, 2)) if count == 3 else (range(0, count, 2), range(1, count, 2))


def difference(parts, chi, valid):
    """Root mean square of the difference of two maps over that of a third one (%)."""
    (first, half), (second, two) = parts
    both = half & two & valid
    change = first[both] - second[both]
    return 100 * float(change.std() / chi[both].std())


def rows_of(scan, off):
    """Yield a row for every stage that is switched off."""
    start = heads.before(scan)
    parts = [heads.before(scan.echoes(chosen)) for chosen in halves_of(scan)]
    plane = symmetry_plane(start.field.magnitude)
    made, common = {}, None
    for name, (choices, parameters) in off.items():
        background = qsm.BackgroundChoices(**choices)
        chi, valid, local = heads.invert(start, background, parameters=parameters)
        split = [heads.invert(p, background, parameters=parameters, masks=start.masks)[:2] for p in parts]
        made[name] = chi, valid, local, split
        common = valid if common is None else common & valid
    for name, (chi, valid, local, split) in made.items():
        yield (
            scan.name,
            name,
            *_against_truth(chi, common, scan),
            f"{difference(split, chi, common):.1f}" if split else "",
            _number(side_correlation(chi, common, scan.grid, plane), 3),
            _number(streak_ratio(chi, common, scan.grid)),
            _number(boundary_ratio(local, valid, scan.grid)),
        )


def _number(value, digits=2):
    return "" if value is None else f"{value:.{digits}f}"


def _against_truth(chi, common, scan):
    if scan.chi is None:
        return "", "", ""
    inside = common & scan.mask
    regions = metrics.regions(chi, scan.chi, inside, scan.labels, scan.names)
    return (
        f"{metrics.nrmse(chi, scan.chi, inside):.1f}",
        f"{metrics.xsim(chi, scan.chi, inside):.3f}",
        f"{metrics.slope(regions):.2f}",
    )


def scans(args):
    """Yield the scans: simulated heads first."""
    size = (4.0,) * 3 if args.quick else (args.voxel_size,) * 3
    for person in range(1 if args.quick else args.persons):
        yield heads.simulated(person=person, in_vivo=True, voxel_size=size, oblique=(8.0, 4.0, 0.0), coil_shading=0.5)
    for folder, subject in args.bids:
        yield heads.read_scan(folder, subject)


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--persons", type=int, default=2, help="simulated heads")
    options.add_argument("--voxel-size", type=float, default=2.5, help="of simulated heads, mm")
    options.add_argument("--bids", nargs=2, action="append", default=[], metavar=("DATASET", "SUBJECT"), help="a scan")
    args = options.parse_args(argv)
    rows = []
    for scan in scans(args):
        for row in (*rows_of(scan, OFF), *rows_of(scan.echoes([-1]), SINGLE)):
            print(*row, sep="\t", file=sys.stderr, flush=True)
            rows.append(row)
    print(table(HEAD, rows))
    if args.readme is not None:
        write_table(args.readme, "on-off", machine(), HEAD, rows, 2)


if __name__ == "__main__":
    main()
