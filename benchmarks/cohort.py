"""Effects planted in a cohort, recovered from its maps: ``python -m benchmarks.cohort`` (participant, then group).

Two simulated cohorts of twelve: one with iron that rises with age and 0.02 ppm more in putamen and pallidum of
patients, one with neither. The reference is the same model on the true maps and labels, without noise.
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, machine, parser, write_table
from bids_app.derivatives.files import read_image
from bids_app.group import statistics

MODEL = "chi ~ age + sex + group"
PLANTED = ("putamen", "pallidum")
COARSE = {
    "registration.resolution": 3, "registration.syn_resolution": 3, "registration.syn_fine": 10,
}  # fmt: skip
HEAD = (
    "cohort",
    "preset",
    "voxel",
    "term",
    "region",
    "true",
    "estimate",
    "95 % CI",
    "inside",
    "p (FDR)",
    "significant",
)


def run_cohort(folder, name, voxel, count, preset, effect=0.02, more=()):
    """Simulate, run both levels, and return the rows of the model's table and the reference by region and term."""
    study, out = folder / name / "bids", folder / name / "out"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    effects = ["--null"] if name == "null" else ["--group-effect", str(effect)]
    simulate = [sys.executable, "-m", "bids_app.phantom", str(study), "--subjects", str(count)]
    simulate += ["--voxel-size", str(voxel), "--t1w-voxel-size", "2", *effects]
    subprocess.run(simulate, check=True, env=environment)
    atlas = study / "derivatives" / "phantom" / "tpl-phantom"
    command = [sys.executable, "-m", "bids_app", str(study), str(out), "participant", "group", "--preset", preset]
    command += ["--atlas", f"{atlas}:nuclei", "--model", MODEL, "--skip-bids-validation", *more]
    for key, value in COARSE.items():
        command += ["--set", f"{key}={value}"]
    subprocess.run(command, check=True, env=environment)
    with (out / "group_seg-nuclei_desc-model_stats.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return rows, reference(study, out)


def reference(study, out):
    """Return the coefficients of the model on the true maps, by region, hemisphere and term."""
    long = statistics.read_long(out / "group_seg-nuclei_desc-chi_stats.tsv")
    means = {}
    for path in sorted((study / "derivatives" / "phantom").glob("sub-*/anat/*_seg-nuclei_dseg.nii.gz")):
        labels = np.rint(read_image(path)[0]).astype(int)
        chi = read_image(path.with_name(path.name.replace("_seg-nuclei_dseg", "_Chimap")))[0]
        for index in np.unique(labels[labels > 0]):
            means[path.name.split("_")[0], int(index)] = float(chi[labels == index].mean())
    long["chi_mean"] = [means.get((p, int(i))) for p, i in zip(long["participant_id"], long["index"], strict=True)]
    rows, _ = statistics.fit(long.assign(chi=long["chi_mean"]), MODEL)
    return {(row["name"], row["hemisphere"], row["term"]): row["estimate"] for row in rows}


def judged(name, rows, true, preset, voxel):
    """Return the rows of the table: every region's effect of age and group."""
    found = []
    for row in rows:
        if row["term"] not in ("age", "group[T.patient]"):
            continue
        value = true[row["name"], row["hemisphere"], row["term"]]
        low, high = float(row["ci_low"]), float(row["ci_high"])
        found.append((
            name, preset, f"{voxel:g} mm", row["term"], f"{row['name']} {row['hemisphere']}", f"{value:.5f}",
            f"{float(row['estimate']):.5f}", f"{low:.5f} to {high:.5f}", "yes" if low <= value <= high else "no",
            f"{float(row['p_fdr']):.3f}", row["significant"],
        ))  # fmt: skip
    return found


def summary(rows):
    """Say how many are as they should be."""
    effects = [r for r in rows if r[0] != "null"]
    group = [r for r in effects if r[3] != "age"]
    planted = [r for r in group if r[4].split()[0] in PLANTED]
    false = [r for r in group if r not in planted and r[10] == "true"]
    null = [r for r in rows if r[0] == "null" and r[10] == "true"]
    signs = sum(float(r[6]) * float(r[5]) > 0 for r in effects)
    return (
        f"{sum(float(r[6]) > 0 for r in planted)} of {len(planted)} planted differences have the right sign, "
        f"{sum(r[8] == 'yes' for r in planted)} lie within their interval, {sum(r[10] == 'true' for r in planted)} are "
        f"significant after FDR; {len(false)} other regions are; {signs} of {len(effects)} signs of both terms are "
        f"right; null cohort: {len(null)} regions."
    )


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--preset", default="fast")
    options.add_argument("--voxel-size", type=float, default=2.5, help="mm")
    options.add_argument("--group-effect", type=float, default=0.02, help="ppm")
    options.add_argument("--subjects", type=int, default=12)
    options.add_argument("--folder", type=Path, help="where the cohorts are kept (default: a temporary folder)")
    args, more = options.parse_known_args(argv)
    size, count = (4.0, 6) if args.quick else (args.voxel_size, args.subjects)
    with tempfile.TemporaryDirectory() as scratch:
        folder, rows = args.folder or Path(scratch), []
        for name in args.only or ("planted", "null"):
            label = name if name == "null" else f"{name} {args.group_effect:g} ppm"
            rows += judged(
                label, *run_cohort(folder, name, size, count, args.preset, args.group_effect, more), args.preset, size
            )
    text = summary(rows)
    print(text)
    write_table(args.readme, "cohort", f"{machine()}, {count} participants. {text}", HEAD, rows, 5)


if __name__ == "__main__":
    main()
