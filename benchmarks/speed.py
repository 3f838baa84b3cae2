"""Time of every registered method beside what else does the same job: ``python -m benchmarks.speed``.

Each method runs in a process of its own, kernels compiled; the table has the median time, time per iteration, peak
memory of the process, how often the volume could have been read from memory meanwhile at the measured bandwidth, and
the share of that bandwidth that the method's own reads and writes need at least. Rows are merged into the table, so
that each may be measured by itself (``--only``); the column ``run`` says under what load.
"""

import importlib.util

import numpy as np

from benchmarks import plain, stages
from benchmarks.common import bandwidth, circumstances, grid_of, machine, measure, parser, problem, publish
from benchmarks.summary import LONG_TGV
from benchmarks.worker import LONG
from bids_app import qsm
from bids_app.qsm.operators.crop import Crop

SHAPES = ((160, 160, 160), (256, 256, 160))
HEAD = (
    "job",
    "method",
    "volume",
    "s",
    "iterations",
    "ms/iteration",
    "peak GB",
    "volume reads",
    "of bandwidth",
    "memory GB/s",
    "run",
)
#: Float32 values per voxel of the mask that one iteration reads and writes at least; of the methods without Fourier
#: transforms, whose passes are counted while they run.
VALUES_PER_ITERATION = {LONG_TGV: 18.5}
#: Beside the transforms, per voxel of the working grid. Shrinking the gradient takes 8 (chi, three duals read and
#: written, the divergence), the change 2; blending in k-space 3.5 (spectrum twice, target, half a gain) or 5, the data
#: term 6.
KERNEL_VALUES = {"rts": 13.5, "tv": 21, "nltv": 21}


def methods():
    """Every method of the registries and every stage, then the peers: (kind, name)."""
    families = {"unwrap": qsm.UNWRAP, "background": qsm.BACKGROUND, "inversion": qsm.INVERSIONS}
    rows = [
        (kind, name)
        for kind, registry in families.items()
        for name in sorted(registry)
        if "model" not in registry[name].needs
    ]
    rows += [("inversion", name) for name in LONG]
    rows += [("stage", name) for name in stages.STAGES]
    if importlib.util.find_spec("skimage"):
        rows.append(("unwrap peer", "scikit-image"))
    return rows + [("plain", name) for name in plain.METHODS]


def chosen(only):
    """The methods whose name, its part before a comma, or kind is among ``only`` (all without)."""
    return [m for m in methods() if not only or {m[0], m[1], m[1].split(",")[0]} & set(only)]


def share_of(kind, name, done, mask, seconds, speed):
    """Share of the bandwidth that the method's passes need at least; empty where they are not counted."""
    moved = done["transform_bytes"]
    if kind == "inversion" and name in KERNEL_VALUES:
        padding = qsm.INVERSIONS[name].params().padding
        voxels = np.prod(Crop.around(mask, grid_of({"mask": mask}), padding).grid.shape)
        moved += 4 * KERNEL_VALUES[name] * float(voxels) * done["iterations"]
    if kind == "inversion" and name in VALUES_PER_ITERATION:
        moved = 4 * VALUES_PER_ITERATION[name] * mask.sum() * done["iterations"]
    return f"{moved / seconds / speed:.0%}" if moved else ""


def row(kind, name, arrays, speed, repeats):
    done = measure(arrays, kind, name, repeats)
    seconds, steps, each = float(np.median(done["seconds"])), done["iterations"], done["seconds_per_iteration"]
    share = share_of(kind, name, done, arrays["mask"], seconds, speed)
    count = str(steps or "")
    if "iterations_due" in done:
        count = f"{done['iterations_due']} ({steps} timed)"
        seconds += (done["iterations_due"] - steps) * each
    label = {"plain": "numpy/scipy", "unwrap peer": "unwrap", "stage": "stage, 4 echoes"}.get(kind, kind)
    shape = "x".join(str(n) for n in arrays["mask"].shape)
    volumes = seconds * speed / (4 * arrays["mask"].size)
    return (
        label,
        name,
        shape,
        f"{seconds:.2f}",
        count,
        f"{1000 * each:.1f}" if each else "",
        f"{done['peak_bytes'] / 1e9:.2f}",
        f"{volumes:.0f}",
        share,
        f"{speed / 1e9:.0f}",
        circumstances(),
    )


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
        for kind, name in chosen(args.only):
            slow = kind == "plain" or name in LONG
            done = row(kind, name, arrays, speed, 1 if args.quick or slow else args.repeats)
            print(*done, sep="\t", flush=True)
            # Row by row, so that a run that is stopped keeps what it has measured.
            publish(args, "speed", f"{machine()}.", HEAD, [done], 3)


if __name__ == "__main__":
    main()
