"""Time and memory against voxels and echoes: ``python -m benchmarks.scaling``.

Every method over volumes of growing size (with the exponent of time over voxels: 1 is linear), and the whole command
over numbers of echoes.
"""

import numpy as np

from benchmarks.chain import run_chain
from benchmarks.common import machine, measure, parser, problem, write_table
from benchmarks.speed import methods

SIDES = (64, 96, 128, 192)
ECHOES = (1, 2, 4, 8)


def exponent(voxels, seconds):
    """Slope of log time over log voxels."""
    return float(np.polyfit(np.log(voxels), np.log(seconds), 1)[0])


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--sides", nargs="+", type=int, default=None)
    options.add_argument("--echoes", nargs="*", type=int, default=None)
    args = options.parse_args(argv)
    sides = args.sides or ((32, 40) if args.quick else SIDES)
    echoes = args.echoes if args.echoes is not None else ((1,) if args.quick else ECHOES)
    problems = [problem((n, n, n)) for n in sides]
    rows = []
    for kind, name in methods():
        if kind in ("plain", "unwrap peer") or "," in name or (args.only and name not in args.only):
            continue
        done = [measure(arrays, kind, name, 1) for arrays in problems]
        seconds = [float(np.median(d["seconds"])) for d in done]
        cells = [f"{s:.2f} s, {d['peak_bytes'] / 1e9:.2f} GB" for s, d in zip(seconds, done, strict=True)]
        rows.append((kind, name, *cells, f"{exponent([n**3 for n in sides], seconds):.2f}"))
        print(*rows[-1], sep="\t", flush=True)
    if rows:
        head = ("job", "method", *[f"{n}^3" for n in sides], "exponent")
        write_table(args.readme, "scaling", machine(), head, rows, 2)
    chains = []
    for count in echoes:
        result = run_chain(4.0 if args.quick else 2.0, count)
        chains.append((count, f"{result['seconds']:.1f}", f"{result['peak_bytes'] / 1e9:.2f}"))
        print(*chains[-1], sep="\t", flush=True)
    if chains:
        write_table(args.readme, "echoes", machine(), ("echoes (whole command, 2 mm)", "s", "peak GB"), chains, 1)


if __name__ == "__main__":
    main()
