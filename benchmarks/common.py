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

from bids_app.qsm.dipole import forward_field
from bids_app.qsm.geometry import Grid

README = Path(__file__).with_name("README.md")
ROOT = Path(__file__).parents[1]


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine():
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return (
        f"{cores()} cores, Python {platform.python_version()}, numba {numba.__version__}, "
        f"{time.strftime('%Y-%m-%d')}{load}"
    )


def parser(doc):
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="tiny problems and one repetition: does it run at all?")
    made.add_argument("--only", nargs="+", default=None, metavar="NAME", help="these methods alone")
    made.add_argument("--readme", type=Path, default=README, help="the file whose table is replaced")
    return made


def problem(shape, noise=0.002, seed=0):
    """An ellipsoid of a brain's share of the volume, with nuclei, in an oblique main field: arrays by name."""
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


def measure(arrays, kind, name, repeats):
    """Time one method in a process of its own; returns the worker's answer (see :mod:`benchmarks.worker`)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, **arrays)
        command = [sys.executable, "-m", "benchmarks.worker", str(path), kind, name, str(repeats)]
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


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def _between(readme, name):
    """Return the text before, between and after the markers of ``name`` (which are added where they are missing)."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    old = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if begin not in old:
        old += f"\n{begin}{end}\n"
    before, rest = old.split(begin, 1)
    inside, after = rest.split(end, 1)
    return before + begin, inside, end + after


def write_table(readme, name, note, head, rows, keys):
    """Write a table between its markers; rows of another run with other first ``keys`` cells stay."""
    before, inside, after = _between(readme, name)
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in inside.splitlines() if line.startswith("|")]
    kept = cells[2:] if cells and cells[0] == list(head) else []
    new = {tuple(str(c) for c in row[:keys]): [str(c) for c in row] for row in rows}
    merged = {tuple(row[:keys]): row for row in kept} | new
    readme.write_text(f"{before}{note}\n\n{table(head, merged.values())}\n{after}", encoding="utf-8")
