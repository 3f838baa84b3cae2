"""What the benchmarks share: a test problem, timing in a process of its own, tables that write themselves."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numba
import numpy as np

from benchmarks import summary
from benchmarks.tables import write_table
from bids_app.phantom import metrics
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field

README = Path(__file__).with_name("README.md")
ROOT = Path(__file__).parents[1]

JOBS = ("unwrap", "background", "inversion", "numpy/scipy")


def _speed_order(row):
    """Sort a method's volumes below each other, the peers below the app's methods."""
    job, method, volume = row[:3]
    return JOBS.index(job) if job in JOBS else len(JOBS), method, [-int(n) for n in volume.split("x")]


def _accuracy_order(row):
    """Sort by voxel, view and noise; the inversions come before the background methods."""
    voxel, view, snr, background = row[:4]
    return -float(voxel.split()[0].split("x")[0]), view, float(snr), background not in ("lbv", "none")


ORDER = {"speed": _speed_order, "accuracy": _accuracy_order}


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def call(*words, show=False):
    """Run one of the project's modules as a command of its own; with ``show`` its output is seen, else kept."""
    command = [sys.executable, "-m", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=not show, text=True, check=False)
    if done.returncode:
        kept = "" if show else f":\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        raise RuntimeError(f"{' '.join(command[2:])} failed with exit code {done.returncode}{kept}")
    return done


def map_scores(estimate, true, mask, labels, names):
    """NRMSE, detrended NRMSE, XSIM and deep-grey slope of a susceptibility map in a mask, as they stand in a table."""
    return (
        f"{metrics.nrmse(estimate, true, mask):.1f}",
        f"{metrics.detrended_nrmse(estimate, true, mask):.1f}",
        f"{metrics.xsim(estimate, true, mask):.3f}",
        f"{metrics.slope(metrics.regions(estimate, true, mask, labels, names)):.2f}",
    )


def machine():
    return (
        f"{cores()} cores ({processor()}), Python {platform.python_version()}, numba {numba.__version__}, "
        f"{time.strftime('%Y-%m-%d')}"
    )


def processor():
    """The processor's name as the system gives it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def circumstances():
    """Return ``alone`` where nothing else can take the cores (real-time priority), else the load at the end."""
    policy = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else 0
    if policy in {getattr(os, "SCHED_FIFO", 1), getattr(os, "SCHED_RR", 2)}:
        return "alone"
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def parser(doc):
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="tiny problems and one repetition: does it run at all?")
    made.add_argument("--only", nargs="+", default=None, metavar="NAME", help="these methods alone")
    made.add_argument("--readme", type=Path, default=README, help="the file whose table is replaced")
    made.add_argument("--short", type=Path, default=None, help="the page whose short tables are replaced")
    return made


def publish(args, name, note, head, rows, keys):
    """Write a table into ``args.readme`` and the short ones that come of it into the documentation."""
    write_table(args.readme, name, note, head, rows, keys, ORDER.get(name))
    short = args.short or (summary.PAGE if args.readme == README else None)
    if short:
        summary.write(short, args.readme)


def problem(shape, noise=0.002, seed=0):
    """An ellipsoid of a brain's share of the volume, with nuclei, in an oblique main field: arrays by name.

    The maps of one field; :mod:`benchmarks.worker` makes echoes of them.
    """
    grid = Grid(shape, (1.0, 1.0, 1.0), (0.1, -0.2, 0.95))
    x, y, z = np.meshgrid(*[np.arange(n, dtype=np.float32) - n / 2 for n in shape], indexing="ij", sparse=True)
    radii = [0.262 * shape[0], 0.336 * shape[1], 0.381 * shape[2]]
    mask = (x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2 < 1
    chi = np.zeros(shape, np.float32)
    size = min(radii) / 6
    for number, value in enumerate((0.12, 0.12, 0.08, -0.05, 0.15, -0.04)):
        angle = number * np.pi / 3
        centre = np.cos(angle) * radii[0] / 2, np.sin(angle) * radii[1] / 2, (number % 3 - 1) * radii[2] / 4
        ball = sum((a - c) ** 2 for a, c in zip((x, y, z), centre, strict=True)) < size**2
        chi[ball] = value
    rng = np.random.default_rng(seed)
    local = forward_field(chi, grid, pad=False) + noise * rng.normal(size=shape).astype(np.float32)
    total = (local + 0.002 * x + 0.00003 * (2 * z**2 - x**2 - y**2)).astype(np.float32)
    magnitude = np.where(mask, 1 - chi, np.float32(0.02)).astype(np.float32)
    return {"chi": chi, "mask": mask, "local": local.astype(np.float32), "total": total, "magnitude": magnitude}


def grid_of(arrays):
    return Grid(arrays["mask"].shape, (1.0, 1.0, 1.0), (0.1, -0.2, 0.95))


def measure(arrays, kind, name, repeats, echoes=4):
    """Time one method in a process of its own; returns the worker's answer (see :mod:`benchmarks.worker`)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, **arrays)
        command = [sys.executable, "-m", "benchmarks.worker", str(path), kind, name, str(repeats), str(echoes)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind} {name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@numba.njit(parallel=True, cache=True)
def _triad(a, b, c):
    for i in numba.prange(a.size):
        a[i] = b[i] + np.float32(3) * c[i]


def bandwidth(count=60_000_000, repeats=9):
    """Memory bandwidth in bytes/s by a triad (two reads, a write and the read that a write costs)."""
    a, b, c = (np.ones(count, np.float32) for _ in range(3))
    _triad(a, b, c)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        _triad(a, b, c)
        times.append(time.perf_counter() - start)
    return 16 * count / float(np.median(times))
