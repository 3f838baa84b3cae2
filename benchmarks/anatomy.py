"""Segmentation, registration and regions on a simulated head: ``python -m benchmarks.anatomy`` (about an hour).

One person whose T1-weighted image is taken in other axes, obliquely and at another resolution: time and memory of every
step, overlap of the labels with the true ones, means against the true means, and how much the table changes. One row
has the segmentation's brain mask join the mask (``--mask-from-anatomy``), one the inversion alone: the true map's own
field in the first row's mask, without noise or background, measured by the first row's labels: the error that no
better field could take away; and one has no T1-weighted image at all. ``--keep DIR`` goes on where it stopped.
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
from bids_app.qsm import DEFAULT_INVERSION, INVERSIONS, Grid
from bids_app.qsm.operators.dipole import field_in_box

#: T1w: axes, edge length (mm), degrees of the slab about x. The first is what the others are compared with.
VARIANTS = {
    "RAS 1 mm": ("RAS", 1.0, 0.0),
    "LPS 1 mm": ("LPS", 1.0, 0.0),
    "RAS 1 mm, 15 deg oblique": ("RAS", 1.0, 15.0),
    "LAS 0.8 mm": ("LAS", 0.8, 0.0),
}
MASKED = "RAS 1 mm, --mask-from-anatomy"
TEMPLATE = "derivatives/phantom/tpl-phantom"
NUCLEI = {"caudate": (1, 2), "putamen": (3, 4), "pallidum": (5, 6), "thalamus": (7, 8)}
INVERTED = "RAS 1 mm, true local field"
WITHOUT = "none: the atlas to the magnitude"
#: The thalamus is near zero, which is the mask's mean: it is told in ppb.
MEASURED = ("caudate", "putamen", "pallidum")
#: mm of empty space around the true map, that its periodic copies make no field.
PADDING = 60.0
STEPS = {"t1w": "T1w_step-t1w", "atlas": "T1w_step-atlas", "registration": "step-registration"}
HEAD = (
    "T1w",
    "N4 s",
    "atlas s",
    "T1w to GRE s",
    "peak GB",
    "Dice caudate",
    "putamen",
    "pallidum",
    "thalamus",
    "mean caudate %",
    "putamen %",
    "pallidum %",
    "thalamus ppb",
    "change of table %",
    "chi NRMSE %",
    "XSIM",
)


def simulate(study, variant, gre_mm, t1w_mm):
    axes, edge, oblique = VARIANTS[variant]
    call(
        "bids_app.phantom",
        str(study),
        "--subjects",
        "1",
        "--voxel-size",
        str(gre_mm),
        "--oblique",
        "10",
        "--t1w-orientation",
        axes,
        "--t1w-voxel-size",
        str(edge * t1w_mm),
        "--t1w-oblique",
        str(oblique),
    )


def participant(study, out, *options):
    call(
        "bids_app",
        str(study),
        str(out),
        "participant",
        "--skip-bids-validation",
        "--segmentation",
        "atlas",
        "--atlas",
        f"{study / TEMPLATE}:nuclei",
        "--omp-nthreads",
        str(cores()),
        *options,
    )


class Maps:
    """A run's map and the true one, each with the mean of brain and mask as its zero, and both label images."""

    def __init__(self, study, out):
        truth, anat = study / "derivatives/phantom/sub-01/anat", out / "sub-01/anat"
        self.anat = anat
        self.chi, affine = read_image(anat / "sub-01_Chimap.nii.gz")
        self.grid = Grid.from_affine(self.chi.shape, affine)
        self.labels = read_image(anat / "sub-01_space-GRE_seg-nuclei_dseg.nii.gz")[0]
        self.true_labels = read_image(truth / "sub-01_seg-nuclei_dseg.nii.gz")[0]
        self.brain = read_image(truth / "sub-01_desc-brain_mask.nii.gz")[0] > 0
        self.valid = read_image(anat / "sub-01_desc-qsm_mask.nii.gz")[0] > 0
        self.inside = self.brain & self.valid  # the true map ends at the brain
        true = read_image(truth / "sub-01_Chimap.nii.gz")[0]
        self.true_chi = true - true[self.inside].mean()

    def scores(self, chi):
        """Return overlap, error (ppm), relative error (%) of each nucleus, NRMSE and XSIM of a map."""
        chi = chi - chi[self.inside].mean()
        overlap, error, relative = {}, {}, {}
        for name, numbers in NUCLEI.items():
            region, true = np.isin(self.labels, numbers), np.isin(self.true_labels, numbers)
            overlap[name] = 2 * (region & true).sum() / (region.sum() + true.sum())
            mean = self.true_chi[true & self.inside].mean()
            error[name] = chi[region & self.valid].mean() - mean
            relative[name] = 100 * error[name] / abs(mean)
        return {
            "dice": overlap,
            "error": error,
            "relative": relative,
            "nrmse": nrmse(chi, self.true_chi, self.brain),
            "xsim": xsim(chi, self.true_chi, self.brain),
        }


def measured(study, out):
    """Return what one run says of itself and how far it is from the truth."""
    maps = Maps(study, out)
    with (maps.anat / "sub-01_seg-nuclei_desc-chi_stats.tsv").open(newline="") as file:
        table = {int(row["index"]): float(row["chi_mean"]) for row in csv.DictReader(file, delimiter="\t")}
    records = out / "logs/records/sub-01"
    paths = {name: records / f"sub-01_{stem}.json" for name, stem in STEPS.items()}
    if not paths["atlas"].exists():  # it went to the run itself
        paths["atlas"] = records / "sub-01_step-atlas.json"
    steps = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    return maps.scores(maps.chi) | {
        "seconds": {name: step["duration_s"] for name, step in steps.items()},
        "bytes": max(step["peak_memory_bytes"] for step in steps.values()),
        "table": table,
    }


def inverted(study, out):
    """Return the same of the default inversion given the true local field; nothing is timed."""
    maps = Maps(study, out)
    true = np.where(maps.inside, maps.true_chi, 0).astype(np.float32)
    local = field_in_box(true, maps.inside, maps.grid, PADDING) * maps.inside
    return maps.scores(INVERSIONS[DEFAULT_INVERSION](local, maps.inside, maps.grid))


def row_of(name, measures, first):
    """Return the row of the table; the change is the largest of the nuclei's means."""
    costs, change = ("-",) * (len(STEPS) + 1), "-"
    if "table" in measures:
        seconds = (measures["seconds"].get(step) for step in STEPS)
        costs = (*("-" if s is None else f"{s:.0f}" for s in seconds), f"{measures['bytes'] / 1e9:.2f}")
        numbers = [number for nucleus in MEASURED for number in NUCLEI[nucleus]]
        change = f"{100 * max(abs(measures['table'][n] / first['table'][n] - 1) for n in numbers):.2f}"
    return (
        name,
        *costs,
        *(f"{measures['dice'][nucleus]:.3f}" for nucleus in NUCLEI),
        *(f"{measures['relative'][nucleus]:+.1f}" for nucleus in MEASURED),
        f"{1000 * measures['error']['thalamus']:+.1f}",
        change,
        f"{measures['nrmse']:.1f}",
        f"{measures['xsim']:.3f}",
    )


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
        measures = measured(study, out)
        first = first or measures
        yield row_of(name, measures, first)
        if name == next(iter(VARIANTS)):
            masked = folder / f"{number}" / "masked"
            if not masked.exists():
                shutil.copytree(out, masked)
            participant(study, masked, *options, "--mask-from-anatomy")
            yield row_of(MASKED, measured(study, masked), first)
            yield row_of(INVERTED, inverted(study, out), first)
            bare = folder / f"{number}" / "bare"
            shutil.copytree(study, bare, ignore=shutil.ignore_patterns("*T1w*"), dirs_exist_ok=True)
            shutil.copytree(study / TEMPLATE, bare / TEMPLATE, dirs_exist_ok=True)
            participant(bare, folder / f"{number}" / "bare_out", *options)
            yield row_of(WITHOUT, measured(bare, folder / f"{number}" / "bare_out"), first)


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
