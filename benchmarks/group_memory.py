"""Peak memory of the group's steps at 4 and at 40 participants of 2 mm: ``python -m benchmarks.group_memory``.

Every step runs in a process of its own on made-up heads of a whole brain's size. Participants repeat four sets of files
by links, which changes nothing for a step that reads one after the other.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks.common import ROOT, machine, parser, write_table
from bids_app.derivatives.files import write_image
from bids_app.derivatives.files import write_table as write_rows
from bids_app.group import warps
from bids_app.model.cohort import Cohort, CompletenessEntry
from bids_app.model.group_run import GroupRun
from bids_app.model.step import StepInput
from bids_app.model.template import Iteration, NormalizedRun, Registration, Space, TemplateSubject, Voxelwise

SHAPE = (96, 116, 96)
GRID = np.diag([2.0, 2, 2, 1])
SETS = 4
HEAD = ("step", "4 participants, GB", "40 participants, GB", "ratio")
STEPS = ("average", "maps", "voxelwise", "permutations", "tables")


def write_sets(folder, shape):
    """Write the files of four participants: magnitude, labels, warp, pose, and maps in the template's space."""
    rng = np.random.default_rng(1)
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    head = x**2 + y**2 + z**2 < 0.85
    for number in range(SETS):
        run_folder = folder / f"{number}"
        run_folder.mkdir()
        image = head * (1 + 0.2 * rng.normal(size=shape)).astype(np.float32)
        write_image(run_folder / "magnitude.nii.gz", image, GRID, "float32")
        write_image(run_folder / "labels.nii.gz", head * (1 + (x > 0)), GRID, "int32")
        write_rows(run_folder / "labels.tsv", [{"index": k, "name": f"half {k}"} for k in (1, 2)])
        write_image(run_folder / "chimap.nii.gz", 0.1 * image * rng.normal(size=shape), GRID, "float32")
        write_image(run_folder / "mask.nii.gz", head, GRID, "uint8")
        bend = np.stack(np.broadcast_arrays(2 * np.sin(3 * y + number) * (x < 2), 2 * z * (y < 2), x * y * z), -1)
        write_image(run_folder / "warp.nii.gz", bend[:, :, :, None, :], GRID, "float32")
        warps.write_linear(run_folder / "pose.txt", np.eye(4))
        rows = [{"index": k, "name": f"region {k}", "hemisphere": "n/a", "chi_mean": 0.1 * k} for k in range(1, 101)]
        write_rows(run_folder / "regions.tsv", rows)


def order(folder, name, count):
    """Return a step's function and what it is given."""
    from bids_app.steps.group import normalized as group_space
    from bids_app.steps.group import tables as group_tables
    from bids_app.steps.group import template as group_template
    from bids_app.steps.group import voxelwise as group_voxelwise

    runs = tuple(GroupRun((("sub", f"{n:03d}"),), ("chimap", "dseg_gre@x", "regions@x")) for n in range(count))
    members = tuple(TemplateSubject(run.subject, (run,)) for run in runs)
    of = {run.subject: folder / str(n % SETS) for n, run in enumerate(runs)}
    inputs = {}
    if name == "average":
        first = Iteration("study", 0, "start", members)
        record, function = Iteration("study", 1, "syn", members, first), group_template.average
        inputs["before"] = folder / "0" / "magnitude.nii.gz"
        for subject, of_subject in of.items():
            inputs |= {
                f"magnitude@{subject}": of_subject / "magnitude.nii.gz",
                f"map@{subject}": of_subject / "warp.nii.gz",
            }
            inputs |= {f"labels@{subject}": of_subject / "labels.nii.gz", f"pose@{subject}": of_subject / "pose.txt"}
    elif name == "tables":
        entries = tuple(CompletenessEntry(run.subject, None, run.basename, "found") for run in runs)
        record, function = Cohort(runs, entries), group_tables.join
        inputs = {f"{run.basename}@x": of[run.subject] / "regions.tsv" for run in runs}
    else:
        registrations = [Registration(member, None, "final", "tostudy") for member in members]
        space = Space("study", tuple(NormalizedRun(r, g, "study") for r, g in zip(runs, registrations, strict=True)))
        for space_run in space.runs:
            of_subject = of[space_run.run.subject]
            inputs |= {f"{key}@{space_run.basename}": of_subject / f"{key}.nii.gz" for key in ("chimap", "mask")}
            if name == "maps":
                inputs |= {f"dseg_gre@x@{space_run.basename}": of_subject / "labels.nii.gz"}
                inputs |= {
                    f"{space_run.basename}@warp": of_subject / "warp.nii.gz",
                    f"{space_run.basename}@pose": of_subject / "pose.txt",
                }
        record, function = space, group_space.averages
        if name != "maps":
            table = folder / f"participants{count}.tsv"
            lines = [f"sub-{run.subject}\t{20 + n % 7}\t{'ab'[n % 2]}" for n, run in enumerate(runs)]
            table.write_text("\n".join(["participant_id\tage\tgroup", *lines]) + "\n")
            inputs |= {"participants": table, "mask_group": folder / "0" / "mask.nii.gz"}
            record, function = Voxelwise(space, table), group_voxelwise.fit
    return function, record, inputs


def settings(name):
    voxelwise = {"smoothing": 2.0, "permutations": 20 if name == "permutations" else 0, "seed": 1, "fdr": 0.05}
    sections = {
        "template": {"resolution": 2.0, "sharpening": 0.0},
        "voxelwise": voxelwise | {"fwe": 0.05},
        "statistics": {"model": "chi ~ age + group", "small_groups": True},
    }
    return SimpleNamespace(**{k: SimpleNamespace(choice=SimpleNamespace(**v)) for k, v in sections.items()})


def worker(folder, name, count):
    """Run one step and print the peak memory of this process, bytes."""
    import resource

    function, record, inputs = order(Path(folder), name, int(count))
    with tempfile.TemporaryDirectory() as scratch:
        function(StepInput(record, settings(name), inputs, Path(scratch), 1))
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit))


def measured(folder, name, count):
    line = [sys.executable, "-m", "benchmarks.group_memory", "--worker", str(folder), name, str(count)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} of {count} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--worker", nargs=3, metavar=("FOLDER", "STEP", "COUNT"), help="one step in this process")
    args = options.parse_args(argv)
    if args.worker:
        worker(*args.worker)
        return
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        write_sets(Path(scratch), (24, 28, 24) if args.quick else SHAPE)
        for name in args.only or STEPS:
            few, many = (measured(Path(scratch), name, count) for count in (4, 40))
            rows.append((name, f"{few / 1e9:.3f}", f"{many / 1e9:.3f}", f"{many / few:.2f}"))
            print(*rows[-1], sep="\t", flush=True)
    write_table(args.readme, "group-memory", machine(), HEAD, rows, 1)


if __name__ == "__main__":
    main()
