"""Segmentation, registration and regions on a simulated head: ``python -m benchmarks.anatomy`` (about an hour).

One person whose T1-weighted image is taken in other axes, obliquely and at another resolution: time and memory of every
step, overlap of the labels with the true ones, means against the true means, and how much the table changes. The last
row has the segmentation's brain mask join the mask (``--mask-from-anatomy``). ``--keep DIR`` goes on where it stopped.
"""

import csv
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import call, cores, machine, parser, write_table
from bids_app.derivatives.files import read_image
from bids_app.phantom.metrics import nrmse, xsim

#: T1w: axes, edge length (mm), degrees of the slab about x. The first is what the others are compared with.
VARIANTS = {
    "RAS 1 mm": ("RAS", 1.0, 0.0),
    "LPS 1 mm": ("LPS", 1.0, 0.0),
    "RAS 1 mm, 15 deg oblique": ("RAS", 1.0, 15.0),
    "LAS 0.8 mm": ("LAS", 0.8, 0.0),
}
MASKED = "RAS 1 mm, --mask-from-anatomy"
NUCLEI = {"caudate": (1, 2), "putamen": (3, 4), "pallidum": (5, 6), "thalamus": (7, 8)}
#: The thalamus is near zero, its mean in percent says nothing.
MEASURED = ("caudate", "putamen", "pallidum")
STEPS = {"t1w": "T1w_step-t1w", "atlas": "T1w_step-atlas", "registration": "step-registration"}
HEAD = (
    "T1w", "N4 s", "atlas s", "T1w to GRE s", "peak GB", "Dice caudate", "putamen", "pallidum", "thalamus",
    "mean caudate %", "putamen %", "pallidum %", "change of table %", "chi NRMSE %", "XSIM",
)  # fmt: skip


def simulate(study, variant, gre_mm, t1w_mm):
    axes, edge, oblique = VARIANTS[variant]
    call(
        "bids_app.phantom", str(study), "--subjects", "1", "--voxel-size", str(gre_mm), "--oblique", "10",
        "--t1w-orientation", axes, "--t1w-voxel-size", str(edge * t1w_mm), "--t1w-oblique", str(oblique),
    )  # fmt: skip


def participant(study, out, *options):
    atlas = study / "derivatives" / "phantom" / "tpl-phantom"
    call(
        "bids_app", str(study), str(out), "participant", "--skip-bids-validation", "--segmentation", "atlas", "--atlas",
        f"{atlas}:nuclei", "--omp-nthreads", str(cores()), *options,
    )  # fmt: skip


def measured(study, out):
    """Return what one run says of itself and how far it is from the truth."""
    truth, anat = study / "derivatives/phantom/sub-01/anat", out / "sub-01/anat"
    labels = read_image(anat / "sub-01_space-GRE_seg-nuclei_dseg.nii.gz")[0]
    true_labels = read_image(truth / "sub-01_seg-nuclei_dseg.nii.gz")[0]
    chi, true_chi = (read_image(folder / "sub-01_Chimap.nii.gz")[0] for folder in (anat, truth))
    brain = read_image(truth / "sub-01_desc-brain_mask.nii.gz")[0] > 0
    valid = read_image(anat / "sub-01_desc-qsm_mask.nii.gz")[0] > 0
    inside = brain & valid
    true_chi = true_chi - true_chi[valid].mean()
    overlap, error = {}, {}
    for name, numbers in NUCLEI.items():
        own, true = np.isin(labels, numbers), np.isin(true_labels, numbers)
        overlap[name] = 2 * (own & true).sum() / (own.sum() + true.sum())
        mean = true_chi[true & inside].mean()
        error[name] = 100 * (chi[own & valid].mean() - mean) / abs(mean)
    with (anat / "sub-01_seg-nuclei_desc-chi_stats.tsv").open(newline="") as file:
        table = {int(row["index"]): float(row["chi_mean"]) for row in csv.DictReader(file, delimiter="\t")}
    records = out / "logs/records/sub-01"
    steps = {name: json.loads((records / f"sub-01_{stem}.json").read_text()) for name, stem in STEPS.items()}
    return {
        "seconds": {name: step["duration_s"] for name, step in steps.items()},
        "bytes": max(step["peak_memory_bytes"] for step in steps.values()),
        "dice": overlap, "error": error, "table": table,
        "nrmse": nrmse(chi, true_chi, brain), "xsim": xsim(chi, true_chi, brain),
    }  # fmt: skip


def row_of(name, found, first):
    """Return the row of the table; the change is the largest of the nuclei's means."""
    numbers = [number for nucleus in MEASURED for number in NUCLEI[nucleus]]
    change = [abs(found["table"][n] / first["table"][n] - 1) for n in numbers]
    return (
        name, *(f"{found['seconds'][step]:.0f}" for step in STEPS), f"{found['bytes'] / 1e9:.2f}",
        *(f"{found['dice'][nucleus]:.3f}" for nucleus in NUCLEI),
        *(f"{found['error'][nucleus]:+.1f}" for nucleus in MEASURED), f"{100 * max(change):.2f}",
        f"{found['nrmse']:.1f}", f"{found['xsim']:.3f}",
    )  # fmt: skip


def run(folder, names, quick):
    """Yield the rows."""
    coarse = ("resolution=4", "syn_resolution=4", "syn_coarse=5", "syn_middle=5", "syn_fine=0")
    options = [word for setting in coarse for word in ("--set", f"registration.{setting}")] if quick else []
    first = None
    for number, name in enumerate(VARIANTS):
        if name not in names:
            continue
        study, out = folder / f"{number}" / "bids", folder / f"{number}" / "out"
        simulate(study, name, 4 if quick else 1.5, 4 if quick else 1)
        participant(study, out, *options)
        found = measured(study, out)
        first = first or found
        yield row_of(name, found, first)
        if name == next(iter(VARIANTS)):
            masked = folder / f"{number}" / "masked"
            if not masked.exists():
                shutil.copytree(out, masked)
            participant(study, masked, *options, "--mask-from-anatomy")
            yield row_of(MASKED, measured(study, masked), first)


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--keep", type=Path, default=None, metavar="DIR", help="work here, and leave all there")
    args = options.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for row in run(folder.resolve(), args.only or list(VARIANTS), args.quick):
            print(*row, sep="\t", flush=True)
            rows.append(row)
    write_table(args.readme, "anatomy", machine(), HEAD, rows, 1)


if __name__ == "__main__":
    main()
