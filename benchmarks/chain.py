"""The whole command from the shell prompt: ``python -m benchmarks.chain`` (1 mm brain, 4 echoes, preset default).

``--study DIR`` keeps the simulated study, so that a second run has nothing to simulate.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import call, circumstances, cores, machine, parser, publish


def simulated(study, voxel_mm, echoes):
    """Return the folder of a study of one subject, which is simulated unless it is there."""
    study = study / f"{voxel_mm:g}mm-{echoes}echoes"
    if not (study / "dataset_description.json").exists():
        times = [f"{0.004 + 0.006 * n:.3f}" for n in range(echoes)]
        call("bids_app.phantom", study, "--subjects", 1, "--voxel-size", voxel_mm, "--echo-times", *times)
    return study


def run_chain(voxel_mm, echoes, preset="default", keep=None):
    """Simulate one subject and run the participant level on it; return seconds and peak bytes of its processes."""
    with tempfile.TemporaryDirectory() as folder:
        study, out = simulated(keep or Path(folder) / "bids", voxel_mm, echoes), Path(folder) / "out"
        words = ("--preset", preset, "--skip-bids-validation", "--omp-nthreads", cores())
        start = time.perf_counter()
        done = call("bids_app", study, out, "participant", *words)
        seconds = time.perf_counter() - start
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
    options.add_argument("--preset", default="default")
    options.add_argument("--voxel-size", type=float, default=1.0, help="mm")
    options.add_argument("--study", type=Path, default=None, help="where the simulated study is kept")
    options.add_argument("--simulate-only", action="store_true", help="make the study of --study and stop")
    args = options.parse_args(argv)
    size, echoes = (4.0, 2) if args.quick else (args.voxel_size, 4)
    if args.simulate_only:
        simulated(args.study, size, echoes)
        return
    done = run_chain(size, echoes, args.preset, args.study)
    row = (
        args.preset,
        f"{size:g} mm",
        echoes,
        f"{done['seconds']:.1f}",
        f"{done['peak_bytes'] / 1e9:.2f}",
        circumstances(),
    )
    print(*row, sep="\t")
    head = ("preset", "voxel", "echoes", "s from the shell prompt", "peak GB", "run")
    publish(args, "chain", f"{machine()}.", head, [row], 3)


if __name__ == "__main__":
    main()
