"""Sharpness and overlap of a template after each iteration, against one affine pass: ``python -m benchmarks.template``.

Simulated heads go through ``participant`` with their true labels, then through ``group``; the table is the one that
``group`` leaves beside the template (``desc-convergence_stats.tsv``).
"""

import csv
import tempfile
from pathlib import Path

from benchmarks.common import call, machine, parser, write_table

HEAD = (
    "participants",
    "voxel",
    "average",
    "sharpness (1/mm²)",
    "to single pass",
    "overlap (Dice)",
    "to single pass",
    "change of shape (mm)",
)


def convergence(folder, size, count, iterations, more=()):
    """Simulate, build the template, and return the rows of its convergence table."""
    study, out = folder / "bids", folder / "out"
    people = ("--subjects", count, "--voxel-size", f"{size:g}", "--t1w-voxel-size", 2)
    call("bids_app.phantom", study, *people, show=True)
    command = ["bids_app", study, out, "participant", "group", "--preset", "fast"]
    command += ["--segmentation", "*_seg-nuclei_dseg.nii.gz", "--derivatives", study / "derivatives" / "phantom"]
    command += ["--template-iterations", *iterations, "--skip-bids-validation"]
    for name in ("resolution", "registration_resolution"):
        command += ["--set", f"template.{name}={size:g}"]
    call(*command, *more, show=True)
    with (out / "tpl-study/anat/tpl-study_desc-convergence_stats.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def line(count, size, row):
    """Return a row of the benchmark's table."""
    name = "single affine pass" if row["kind"] == "single" else f"iteration {row['iteration']}, {row['kind']}"
    return (
        count,
        f"{size:g} mm",
        name,
        f"{float(row['sharpness']):.5f}",
        f"x{float(row['sharpness_to_single']):.2f}",
        f"{float(row['overlap']):.3f}",
        f"{float(row['overlap_to_single']):+.3f}",
        f"{float(row['shape_update_mm']):.2f}",
    )


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--voxel-size", type=float, default=4.0, help="mm, of maps and template")
    options.add_argument("--subjects", type=int, default=4)
    options.add_argument("--iterations", type=int, nargs=2, default=[2, 2], metavar=("LINEAR", "SYN"))
    options.add_argument("--folder", type=Path, help="where the study is kept (default: a temporary folder)")
    args, more = options.parse_known_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        rows = convergence(args.folder or Path(scratch), args.voxel_size, args.subjects, args.iterations, more)
    lines = [line(args.subjects, args.voxel_size, row) for row in rows]
    write_table(args.readme, "template", machine(), HEAD, lines, 3)


if __name__ == "__main__":
    main()
