"""Time and memory of large studies on the level ``group``: ``python -m benchmarks.group_scale``.

The tables, the statistics and the page of 1,000 participants by the whole command, from the shell prompt; and the model
in every voxel of 500 maps of 2 mm (their files repeat four sets: see :mod:`benchmarks.group_memory`).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import group_memory
from benchmarks.common import ROOT, circumstances, cores, machine, parser, write_table

HEAD = ("what", "participants", "s", "processor s", "peak GB", "run")
MODEL = "chi ~ age + sex + group"


def tables(folder, count):
    """Write a study's tables and records, and return the command over it."""
    from tests.helpers.group_study import write_table_study

    bids, out = write_table_study(folder, count=count)
    words = ("group", "--template", "none", "--model", MODEL, "--skip-bids-validation")
    return [sys.executable, "-m", "bids_app", bids, out, *words]


def voxelwise(folder, count, shape=group_memory.SHAPE):
    """Write maps, and return the command that fits the model to every voxel."""
    group_memory.write_sets(folder, shape)
    return [sys.executable, "-m", "benchmarks.group_scale", "--fit", folder, str(count)]


def fit(folder, count):
    """Fit the model in this process with all cores."""
    from bids_app.model.step import StepInput

    function, record, inputs = group_memory.order(Path(folder), "voxelwise", int(count))
    with tempfile.TemporaryDirectory() as scratch:
        function(StepInput(record, group_memory.settings("voxelwise"), inputs, Path(scratch), cores()))


def measured(line):
    """Run a command; return its seconds, its processor time and the largest peak of its processes."""
    environment, start = os.environ | {"PYTHONPATH": str(ROOT)}, time.perf_counter()
    # A process of its own: the peak of the children is then that of this command alone.
    code = (
        "import json, resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True); "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); sys.stderr.write(done.stderr.decode()); "
        "print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss])); sys.exit(done.returncode)"
    )
    line = [sys.executable, "-c", code, *map(str, line)]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{line[3:]} failed:\n{done.stderr[-2000:]}")
    processor, peak = json.loads(done.stdout.splitlines()[-1])
    return time.perf_counter() - start, processor, peak * (1 if sys.platform == "darwin" else 1024)


def main(argv=None):
    options = parser(__doc__)
    options.add_argument(
        "--fit", nargs=2, metavar=("FOLDER", "COUNT"), help="the model in every voxel, in this process"
    )
    args = options.parse_args(argv)
    if args.fit:
        fit(*args.fit)
        return
    many, maps = (12, 12) if args.quick else (1000, 500)
    parts = {
        "tables, statistics and page": (many, lambda folder: tables(folder, many)),
        "model in every voxel, 2 mm": (maps, lambda folder: voxelwise(folder, maps)),
    }
    rows = []
    for what, (count, make) in parts.items():
        if args.only and not any(word in what for word in args.only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            seconds, processor, peak = measured(make(Path(folder)))
        rows.append((what, count, f"{seconds:.1f}", f"{processor:.1f}", f"{peak / 1e9:.2f}", circumstances()))
        print(*rows[-1], sep="\t", flush=True)
    write_table(args.readme, "group-scale", machine(), HEAD, rows, 1)


if __name__ == "__main__":
    main()
