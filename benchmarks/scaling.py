"""Time and memory against voxels and echoes: ``python -m benchmarks.scaling``.

Every method and stage over volumes of growing size (with the exponent of time over voxels: 1 is linear), the stages and
the whole command over numbers of echoes. Rows are merged, so that each may be measured by itself (``--only``).
"""

import numpy as np

from benchmarks import stages
from benchmarks.chain import run_chain
from benchmarks.common import circumstances, machine, measure, parser, problem, publish
from benchmarks.speed import chosen

SIDES = (64, 96, 128, 192)
ECHOES = (3, 4, 8, 16)
#: Methods that are run once.
SLOW = {"tgv", "ilsqr"}


def exponent(voxels, seconds):
    """Slope of log time over log voxels."""
    return float(np.polyfit(np.log(voxels), np.log(seconds), 1)[0])


def over(problems, sizes, kind, name, echoes):
    """Cells of one row: time and memory for each problem and number of echoes, and the exponent over ``sizes``."""
    repeats = 1 if name in SLOW else 5
    done = [measure(p, kind, name, repeats, e) for p, e in zip(problems, echoes, strict=True)]
    # The first call of a process meets memory that is not there yet; of a few milliseconds that is much.
    seconds = [float(np.median(d["seconds"])) for d in done]
    cells = [f"{s:.2f} s, {d['peak_bytes'] / 1e9:.2f} GB" for s, d in zip(seconds, done, strict=True)]
    return (*cells, f"{exponent(sizes, seconds):.2f}")


def voxels(args, sides):
    problems = [problem((n, n, n)) for n in sides]
    for kind, name in chosen(args.only):
        if kind in ("plain", "unwrap peer") or name.startswith("tgv,"):
            continue
        cells = over(problems, [n**3 for n in sides], kind, name, [4] * len(sides))
        print(kind, name, *cells, sep="\t", flush=True)
        head = ("job", "method", *[f"{n}^3" for n in sides], "exponent", "run")
        publish(args, "scaling", f"{machine()}.", head, [(kind, name, *cells, circumstances())], 2)


def numbers_of_echoes(args, counts):
    arrays = problem((40, 40, 40) if args.quick else (128, 128, 128))
    head = ("what", *[f"{n} echoes" for n in counts], "exponent", "run")
    for name in stages.STAGES:
        if (args.only and name not in args.only) or not stages.applies(name, min(counts)):
            continue
        cells = over([arrays] * len(counts), counts, "stage", name, counts)
        print(name, *cells, sep="\t", flush=True)
        publish(args, "echoes", f"{machine()}.", head, [(f"{name}, 128^3", *cells, circumstances())], 1)


def whole_command(args, counts):
    size = 4.0 if args.quick else 2.0
    done = [run_chain(size, count) for count in counts]
    cells = [f"{d['seconds']:.1f} s, {d['peak_bytes'] / 1e9:.2f} GB" for d in done]
    last = f"{exponent(counts, [d['seconds'] for d in done]):.2f}" if len(counts) > 1 else ""
    head = ("what", *[f"{n} echoes" for n in counts], "exponent", "run")
    label = f"whole command, {size:g} mm"
    print(label, *cells, last, sep="\t", flush=True)
    publish(args, "echoes", f"{machine()}.", head, [(label, *cells, last, circumstances())], 1)


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--sides", nargs="+", type=int, default=None)
    options.add_argument("--echoes", nargs="+", type=int, default=None)
    options.add_argument("--parts", nargs="+", choices=("voxels", "echoes", "command"), default=None)
    args = options.parse_args(argv)
    parts = args.parts or ("voxels", "echoes", "command")
    if "voxels" in parts:
        voxels(args, args.sides or ((32, 40) if args.quick else SIDES))
    counts = args.echoes or ((3, 4) if args.quick else ECHOES)
    if "echoes" in parts:
        numbers_of_echoes(args, counts)
    if "command" in parts:
        whole_command(args, counts)


if __name__ == "__main__":
    main()
