"""Time of every registered method beside what else does the same job: ``python -m benchmarks.speed``.

Each method runs in a process of its own, kernels compiled; the table has the median time, time per iteration, peak
memory of the process, and how many times the volume could be read from memory meanwhile at the measured bandwidth.
"""

import importlib.util

import numpy as np

from benchmarks import plain
from benchmarks.common import bandwidth, machine, measure, parser, problem, write_table
from benchmarks.worker import LONG
from bids_app import qsm

SHAPES = ((160, 160, 160), (256, 256, 160))
HEAD = ("job", "method", "volume", "s", "iterations", "ms/iteration", "peak GB", "volume reads", "of bandwidth")
#: Float32 values per voxel of the mask that one iteration must move at least.
VALUES_PER_ITERATION = {"tgv, 1000 iterations on one grid": 53}


def methods():
    """Every method of the registries, then the peers: (kind, name)."""
    own = {"unwrap": qsm.UNWRAP, "background": qsm.BACKGROUND, "inversion": qsm.INVERSIONS}
    found = [(kind, name) for kind, registry in own.items() for name in sorted(registry)]
    found += [("inversion", name) for name in LONG]
    if importlib.util.find_spec("skimage"):
        found.append(("unwrap peer", "scikit-image"))
    return found + [("plain", name) for name in plain.METHODS]


def row(kind, name, arrays, speed, repeats):
    done = measure(arrays, kind, name, repeats)
    seconds, steps = float(np.median(done["seconds"])), done["iterations"]
    values = VALUES_PER_ITERATION.get(name) if kind == "inversion" else None
    share = "" if not values else f"{4 * values * arrays['mask'].sum() * steps / seconds / speed:.0%}"
    label = {"plain": "numpy/scipy", "unwrap peer": "unwrap"}.get(kind, kind)
    shape = "x".join(str(n) for n in arrays["mask"].shape)
    each = f"{1000 * seconds / steps:.1f}" if steps else ""
    volumes = seconds * speed / (4 * arrays["mask"].size)
    peak = f"{done['peak_bytes'] / 1e9:.2f}"
    return label, name, shape, f"{seconds:.2f}", steps or "", each, peak, f"{volumes:.0f}", share


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--shapes", nargs="+", default=None, help="such as 160x160x160")
    options.add_argument("--repeats", type=int, default=3)
    args = options.parse_args(argv)
    shapes = ((40, 40, 36),) if args.quick else SHAPES
    if args.shapes:
        shapes = [tuple(int(n) for n in text.split("x")) for text in args.shapes]
    speed = bandwidth(2_000_000 if args.quick else 60_000_000)
    for shape in shapes:
        arrays = problem(shape)
        for kind, name in methods():
            if args.only and name not in args.only and name.split(",")[0] not in args.only:
                continue
            done = row(kind, name, arrays, speed, 1 if args.quick else args.repeats)
            print(*done, sep="\t", flush=True)
            # Row by row, so that a run that is stopped keeps what it has measured.
            note = f"{machine()}, memory {speed / 1e9:.0f} GB/s (triad)"
            write_table(args.readme, "speed", note, HEAD, [done], 3)


if __name__ == "__main__":
    main()
