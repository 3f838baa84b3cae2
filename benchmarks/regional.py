"""Regional means in ppb against the truth: ``python -m benchmarks.regional``.

The whole default chain on simulated heads, and on data of another simulator (``--bids DATASET SUBJECT``, see
:mod:`benchmarks.simulator_head`). Regions are the true labels; both maps are relative to their mean in the mask of the
output and the true mask together. Columns: mean of the truth and of the map over sides and heads (ppb), their
difference in ppb and in percent, and the slope over all regions of the data.

``--own-labels`` adds a simulated head that goes through the command, with regions of the app's own: an atlas that ANTs
brings to the T1w image. One set of rows has its map by these labels, and one the true map by these labels, which is
what the labels alone do to the means.

Wanted: large nuclei within 8 %, the dentate nucleus within 10 %, and nuclei below 30 ppb within 5 ppb.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks import anatomy, heads
from benchmarks.common import machine, parser
from benchmarks.repeatability import side_free
from benchmarks.tables import table, write_table
from bids_app import qsm
from bids_app.phantom.atlas import nucleus_labels

HEAD = ("data", "region", "true ppb", "found ppb", "error ppb", "error %", "within the aim")
LARGE = ("caudate", "putamen", "pallidum")
SMALL_PPB = 30.0
#: Largest errors: of large nuclei and of the others in percent, and of regions below 30 ppb in ppb.
AIM_LARGE, AIM_OTHER, AIM_SMALL = 8.0, 10.0, 5.0


def is_within(region, true, estimate):
    """Whether a mean is as near to the truth as wanted (ppb)."""
    if abs(true) < SMALL_PPB:
        return abs(estimate - true) <= AIM_SMALL
    return abs(estimate - true) <= (AIM_LARGE if region in LARGE else AIM_OTHER) / 100 * abs(true)


def rows_of(name, scans):
    """Yield a row for every region of the scans of one kind, and one with the slope over all."""
    pairs = defaultdict(list)
    for scan in scans:
        chi, valid, _ = heads.invert(heads.before(scan), qsm.BackgroundChoices())
        for region, (estimate, true) in heads.regional(chi, valid, scan).items():
            pairs[side_free(region)].append((1000 * estimate, 1000 * true))
    yield from _lines(name, pairs)


def rows_of_own_labels(folder, voxel_size, t1w_mm):
    """Yield the rows of a head that goes through the command, by the app's own labels: its map, and the true map."""
    study, out = folder / "bids", folder / "out"
    anatomy.simulate(study, next(iter(anatomy.VARIANTS)), voxel_size, t1w_mm)
    anatomy.participant(study, out)
    maps = anatomy.Maps(study, out)
    estimate = maps.chi - maps.chi[maps.inside].mean()
    for name, values in (("own labels", estimate), ("own labels, true map", maps.true_chi)):
        pairs = defaultdict(list)
        for number, region in nucleus_labels().items():
            labelled, true = (maps.inside & (labels == number) for labels in (maps.labels, maps.true_labels))
            means = values[labelled].mean(), maps.true_chi[true].mean()
            pairs[side_free(region)].append(tuple(1000 * float(mean) for mean in means))
        yield from _lines(name, pairs)


def _lines(name, pairs):
    """Yield a row for every region, of its (map's, true) means in ppb, and one with the slope over all."""
    for region, values in pairs.items():
        estimate, true = np.mean(values, axis=0)
        error = estimate - true
        yield (
            name,
            region,
            f"{true:.0f}",
            f"{estimate:.0f}",
            f"{error:+.1f}",
            f"{100 * error / abs(true):+.1f}",
            "yes" if is_within(region, true, estimate) else "no",
        )
    estimate, true = np.array([v for values in pairs.values() for v in values]).T
    yield name, "slope", "", f"{np.polyfit(true, estimate, 1)[0]:.3f}", "", "", ""


def _told(estimate):
    """Return the rows; each is printed at once, since the next data may take minutes."""
    rows = []
    for row in estimate:
        print(*row, sep="\t", file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--persons", type=int, default=2, help="simulated heads of each kind")
    options.add_argument("--voxel-size", type=float, default=2.0, help="of simulated heads, mm")
    options.add_argument("--bids", nargs=2, action="append", default=[], metavar=("DATASET", "SUBJECT"), help="a scan")
    options.add_argument("--name", default="other simulator", help="what the data of --bids are called in the table")
    options.add_argument("--own-labels", action="store_true", help="also the command, with labels by an atlas")
    args = options.parse_args(argv)
    size = (4.0,) * 3 if args.quick else (args.voxel_size,) * 3
    kinds = {"phantom": {}, "phantom, in vivo": {"in_vivo": True, "coil_shading": 0.5, "snr": 40.0}}
    rows = []
    for name, choices in kinds.items() if args.persons else ():
        lines = rows_of(name, (heads.simulated(person=p, voxel_size=size, **choices) for p in range(args.persons)))
        rows += _told(lines)
    for folder, subject in args.bids:
        rows += _told(rows_of(args.name, [heads.read_scan(folder, subject)]))
    if args.own_labels:
        with tempfile.TemporaryDirectory() as scratch:
            rows += _told(rows_of_own_labels(Path(scratch), size[0], 4.0 if args.quick else 1.0))
    print(table(HEAD, rows))
    if args.readme is not None:
        write_table(args.readme, "regional", machine(), HEAD, rows, 2)


if __name__ == "__main__":
    main()
