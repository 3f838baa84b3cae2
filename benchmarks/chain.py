"""The whole command from the shell prompt: ``python -m benchmarks.chain`` (1 mm brain, 4 echoes, preset consensus)."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, cores, machine, parser, write_table


def run_chain(voxel_mm, echoes, preset="consensus"):
    """Simulate one subject and run the participant level on it; return seconds and peak bytes of its processes."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        study, out = Path(folder) / "bids", Path(folder) / "out"
        times = [f"{0.004 + 0.006 * n:.3f}" for n in range(echoes)]
        simulate = [sys.executable, "-m", "bids_app.phantom", str(study), "--subjects", "1", "--voxel-size"]
        subprocess.run(
            [*simulate, str(voxel_mm), "--echo-times", *times], check=True, env=environment, stdout=subprocess.DEVNULL
        )
        command = [sys.executable, "-m", "bids_app", str(study), str(out), "participant", "--preset", preset]
        command += ["--skip-bids-validation", "--omp-nthreads", str(cores())]
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        maps = len(list(out.rglob("*_Chimap.nii.gz")))
    unit = 1 if sys.platform == "darwin" else 1024
    # The largest of all processes that have ended, the simulation's included.
    return {"seconds": seconds, "peak_bytes": _peak(done.stdout) or _children() * unit, "maps": maps}


def _children():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def _peak(text):
    """Return the peak memory in bytes that the closing table names (GB, third number of the row), or 0."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[1] == "done":
            return int(float(words[3]) * 1e9)
    return 0


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--preset", default="consensus")
    options.add_argument("--voxel-size", type=float, default=1.0, help="mm")
    args = options.parse_args(argv)
    size, echoes = (4.0, 2) if args.quick else (args.voxel_size, 4)
    done = run_chain(size, echoes, args.preset)
    row = (args.preset, f"{size:g} mm", echoes, f"{done['seconds']:.1f}", f"{done['peak_bytes'] / 1e9:.2f}")
    print(*row, sep="\t")
    head = ("preset", "voxel", "echoes", "s from the shell prompt", "peak GB")
    write_table(args.readme, "chain", machine(), head, [row], 3)


if __name__ == "__main__":
    main()
