"""Scan and rescan of simulated heads: ``python -m benchmarks.repeatability``.

Every head is scanned several times, each time in another position (rotations and translations of 2 degrees and 2 mm),
with other noise and another shim. The whole chain runs on every scan, from phase to the mean of each region by its true
labels, relative to the mean of the mask. Columns: mean over heads and sides (ppb), standard deviation within a head
over its scans (ppb), the same in percent of the mean, and what of it the resampled truth has too (ppb): a region on
other voxels has another mean.

What a study of two groups can find follows: with ``n`` participants in each, a difference of ``2.8 sqrt(2 (between^2 +
within^2) / n)`` is found with 80 % power at a level of 5 %, ``between`` being the spread over people.
"""

import sys
from collections import defaultdict

import numpy as np

from benchmarks import heads
from benchmarks.common import machine, parser
from benchmarks.tables import table, write_table
from bids_app import qsm

HEAD = ("method", "region", "mean ppb", "SD within ppb", "SD within %", "SD of the truth ppb", "error of the mean ppb")
#: Name, choices of background removal, and of the inversion.
METHODS = {
    "default (lbv, bayes)": (qsm.BackgroundChoices(), qsm.InversionChoices()),
    "lbv, medi": (qsm.BackgroundChoices(), qsm.InversionChoices(method="medi")),
    "vsharp, medi (consensus)": (
        qsm.BackgroundChoices(method="vsharp", alternation="keep", boundary_sources="keep", null_space_trend="keep"),
        qsm.InversionChoices(method="medi"),
    ),
    "vsharp, rts": (
        qsm.BackgroundChoices(method="vsharp", alternation="keep", boundary_sources="keep", null_space_trend="keep"),
        qsm.InversionChoices(method="rts"),
    ),
}


def within(values):
    """Return the pooled standard deviation over scans of ``{head: [value, ...]}``."""
    return float(np.sqrt(np.mean([np.var(v, ddof=1) for v in values.values()])))


def side_free(name):
    return name.removeprefix("right ").removeprefix("left ")


def measure(args, methods):
    """Return ``{(method, region): {head and side: [(found, true) of each scan]}}`` in ppb."""
    values = defaultdict(lambda: defaultdict(list))
    size = (4.0,) * 3 if args.quick else (args.voxel_size,) * 3
    for person in range(args.persons):
        for session in range(args.scans):
            scan = heads.simulated(
                person=person, session=session, voxel_size=size, snr=args.snr, shim_ppm=args.shim, in_vivo=args.in_vivo
            )
            start = heads.before(scan)
            for name in methods:
                chi, valid, _ = heads.invert(start, *METHODS[name])
                for region, pair in heads.regional(chi, valid, scan).items():
                    values[name, side_free(region)][person, region].append(tuple(1000 * v for v in pair))
            print(f"head {person + 1}, scan {session + 1}: done", file=sys.stderr, flush=True)
    return values


def rows_of(values, methods):
    """Yield a row for every method and region, and one with the median of the regions."""
    for name in methods:
        spreads, errors, parts = [], [], []
        for (method, region), heads_of in values.items():
            if method != name:
                continue
            # A region that one position cuts below ten voxels is compared in none.
            full = max(len(v) for v in heads_of.values())
            kept = {key: np.array(v) for key, v in heads_of.items() if len(v) == full}
            mean = float(np.mean([v[:, 0].mean() for v in kept.values()]))
            true = float(np.mean([v[:, 1].mean() for v in kept.values()]))
            spread, truth = (within({k: v[:, c] for k, v in kept.items()}) for c in (0, 1))
            spreads.append(spread)
            errors.append(abs(mean - true))
            parts.append(100 * spread / abs(mean))
            yield (
                name,
                region,
                f"{mean:.0f}",
                f"{spread:.1f}",
                f"{parts[-1]:.1f}",
                f"{truth:.1f}",
                f"{mean - true:+.1f}",
            )
        yield name, "median", "", f"{np.median(spreads):.1f}", f"{np.median(parts):.1f}", "", f"{np.median(errors):.1f}"


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--persons", type=int, default=2, help="heads")
    options.add_argument("--scans", type=int, default=3, help="of each head")
    options.add_argument("--voxel-size", type=float, default=2.0, help="mm")
    options.add_argument("--snr", type=float, default=60.0, help="of the first echo")
    options.add_argument("--shim", type=float, default=0.1, help="standard deviation of what the shim leaves, ppm")
    options.add_argument("--in-vivo", action="store_true", help="tissue around the brain as in life")
    args = options.parse_args(argv)
    methods = [name for name in METHODS if not args.only or name.split(" ")[0] in args.only]
    rows = list(rows_of(measure(args, methods), methods))
    print(table(HEAD, rows))
    if args.readme is not None:
        note = (
            f"{machine()}. {args.persons} heads, {args.scans} scans of each, {args.voxel_size:g} mm, SNR {args.snr:g}, "
            f"shim {args.shim:g} ppm."
        )
        write_table(args.readme, "repeatability", note, HEAD, rows, 2)


if __name__ == "__main__":
    main()
