"""This version and an earlier one, in three minutes: ``python -m benchmarks.quick [--against REVISION]``.

A few methods, the whole command on a 3 mm head, its start, and the planning of 1,000 participants, each with both
versions in turns. Prints medians and ratios. It judges nothing: a ratio above 1 in a quiet run is a reason to look
closer. The earlier version is the newest tag before this commit, else the parent of this commit; another one is named
by a tag or commit.
"""

import argparse
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, call, circumstances, machine, problem
from benchmarks.quick_worker import OPTIONS
from benchmarks.scheduler import write_names
from benchmarks.tables import table

WORKER = Path(__file__).with_name("quick_worker.py")
PARTS = ("start", "methods", "command", "plan")
HEAD = ("what", "earlier s", "this s", "ratio", "ratio of processor time")
#: Beside each other in one run: the sizes of a full and of a trial run.
SIDE, VOXEL_MM, PARTICIPANTS, ROUNDS = (96, 24), (3.0, 4.0), (1000, 10), (3, 1)


# Two versions ---------------------------------------------------------------


def git(*words):
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=True).stdout


def earlier_revision():
    """Return the newest tag before this commit, else its first parent."""
    try:
        return git("describe", "--tags", "--abbrev=0", "HEAD^").decode().strip()
    except subprocess.CalledProcessError:
        return "HEAD^"


@contextmanager
def version_of(commit):
    """Give a temporary folder with the package as it was; compiled kernels are shared where they are the same."""
    with tempfile.TemporaryDirectory(prefix="qsm-quick-") as folder:
        with tarfile.open(fileobj=io.BytesIO(git("archive", commit, "bids_app"))) as archive:
            archive.extractall(folder, filter="data")
        share_kernels(ROOT / "bids_app", Path(folder) / "bids_app")
        yield Path(folder)


def share_kernels(this, other):
    """Copy compiled kernels to another version of the package if no module with kernels differs; return whether.

    A kernel holds what it calls, and numba looks only at the time and size of its own file.
    """
    modules = {path.relative_to(this) for path in this.rglob("*.py") if "jit" in path.read_text(encoding="utf-8")}
    others = {path.relative_to(other) for path in other.rglob("*.py") if "jit" in path.read_text(encoding="utf-8")}
    if modules != others or any((this / name).read_bytes() != (other / name).read_bytes() for name in modules):
        return False
    for name in modules:
        state = (this / name).stat()
        os.utime(other / name, ns=(state.st_atime_ns, state.st_mtime_ns))
        for kept in (this / name).parent.glob(f"__pycache__/{name.stem}.*.nb[ci]"):
            target = (other / name).parent / "__pycache__" / kept.name
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(kept, target)
    return True


# What is timed ---------------------------------------------------------------


def run(tree, *words):
    """Run Python on a version of the package; return what it prints, seconds and seconds of the processor."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-P", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tree, env=environment)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:5])} failed on {tree}:\n{done.stderr[-1000:]}")
    return done.stdout, (seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def start(tree, data):
    return {
        "`--help`": run(tree, "-m", "bids_app", "--help")[1],
        "`import bids_app.qsm`": run(tree, "-c", "import bids_app.qsm")[1],
    }


def methods(tree, data):
    return json.loads(run(tree, WORKER, "methods", data / "problem.npz", 3)[0].splitlines()[-1])


def command(tree, data):
    out = data / "out"
    taken = run(tree, "-m", "bids_app", data / "head", out, "participant", *OPTIONS)[1]
    shutil.rmtree(out)
    return {"the command, one head": taken}


def plan(tree, data):
    return json.loads(run(tree, WORKER, "plan", data / "names")[0].splitlines()[-1])


MEASURES = {"start": start, "methods": methods, "command": command, "plan": plan}


def prepare(data, parts, is_quick):
    """Make what the parts work on."""
    if "methods" in parts:
        np.savez(data / "problem.npz", **problem((SIDE[is_quick],) * 3))
    if "command" in parts:
        voxel = VOXEL_MM[is_quick]
        call("bids_app.phantom", data / "head", "--subjects", 1, "--voxel-size", voxel, "--no-t1w")
    if "plan" in parts:
        write_names(data / "names", PARTICIPANTS[is_quick])


def in_turns(parts, trees, data, rounds, measures=MEASURES):
    """Return (seconds, processor seconds) of each round by what was measured and version.

    Each part is run once with each version before it counts, which compiles kernels. The versions then change places
    from round to round. What fails with the earlier version is left out of it, with a line that says so.
    """
    times, broken = {}, set()
    for part in parts:
        for number in range(rounds + 1):
            order = list(trees) if number % 2 else list(trees)[::-1]
            for name in order:
                if (part, name) in broken:
                    continue
                try:
                    taken = measures[part](trees[name], data)
                except RuntimeError as error:
                    if name == "this":
                        raise
                    print(f"{part}: the earlier version cannot do it: {error}", file=sys.stderr)
                    broken.add((part, name))
                    continue
                for what, seconds in taken.items() if number else ():
                    times.setdefault(what, {}).setdefault(name, []).append(tuple(seconds))
    return times


def rows_of(times):
    """Return the rows of the table: medians and their ratios, this version to the earlier one."""
    rows = []
    for what, by_version in times.items():
        this, earlier = (
            [statistics.median(values) for values in zip(*by_version[name], strict=True)]
            if name in by_version
            else None
            for name in ("this", "earlier")
        )
        ratios = (
            [f"{a / b:.2f}" if b else "" for a, b in zip(this, earlier, strict=True)] if this and earlier else ["", ""]
        )
        rows.append((what, *(f"{ratio[0]:.3f}" if ratio else "" for ratio in (earlier, this)), *ratios))
    return rows


def main(argv=None):
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--against", metavar="REVISION", help="tag or commit of the earlier version")
    options.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    options.add_argument("--quick", action="store_true", help="tiny problems and one round: does it run at all?")
    args = options.parse_args(argv)
    revision = args.against or earlier_revision()
    commit = git("rev-parse", "--short", f"{revision}^{{commit}}").decode().strip()  # now: HEAD may move meanwhile
    with tempfile.TemporaryDirectory(prefix="qsm-quick-data-") as scratch, version_of(commit) as earlier:
        prepare(Path(scratch), args.only, args.quick)
        trees = {"earlier": earlier, "this": ROOT}
        rows = rows_of(in_turns(args.only, trees, Path(scratch), ROUNDS[args.quick]))
    print(f"{machine()}, {circumstances()}. Earlier: {revision} ({commit}).\n\n{table(HEAD, rows)}")


if __name__ == "__main__":
    main()
