"""Effects planted in cohorts, recovered from maps: ``python -m benchmarks.cohort`` (participant, then group).

Simulated cohorts of twelve, several seeds: some with iron that rises with age and more in putamen and pallidum of
patients, some with neither. The reference is the same model on the true maps and labels, without noise: it holds the
scatter of the persons too. Regions are the true ones, or those of the phantom's atlas, brought by registration.
"""

import csv
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import call, machine, parser, write_table
from bids_app.derivatives.files import read_image
from bids_app.group import statistics

MODEL = "chi ~ age + sex + group"
GROUP = "group[T.patient]"
PLANTED = ("putamen", "pallidum")
COARSE = {"registration.resolution": 3, "registration.syn_resolution": 3, "registration.syn_fine": 10}
HEAD = (
    "cohort",
    "seed",
    "labels",
    "effects of",
    "right sign",
    "inside",
    "significant",
    "false",
    "estimate of putamen R, L; pallidum R, L (ppm)",
    "the same by truth",
)


def run_cohort(folder, args, name, seed, labels, more=()):
    """Simulate, run both levels, and return the rows of the model's table and the reference by region and term."""
    home = folder / f"{name}{seed}"
    study, out = home / "bids", home / f"out-{labels}"
    effects = ["--null"] if name == "null" else ["--group-effect", str(args.group_effect)]
    people = ("--subjects", args.subjects, "--seed", seed, "--voxel-size", args.voxel_size, "--t1w-voxel-size", 2)
    call("bids_app.phantom", study, *people, *effects, show=True)
    truth = study / "derivatives" / "phantom"
    command = ["bids_app", study, out, "participant", "group", "--preset", args.preset, "--template", "none"]
    command += ["--model", MODEL, "--skip-bids-validation", *more]
    if labels == "atlas":
        command += ["--atlas", f"{truth / 'tpl-phantom'}:nuclei"]
        for key, value in COARSE.items():
            command += ["--set", f"{key}={value}"]
    else:
        no_t1w = home / "no-t1w.json"
        no_t1w.write_text(json.dumps({"t1w": {"acquisition": "none"}}))
        command += ["--segmentation", "*_seg-nuclei_dseg.nii.gz", "--derivatives", truth]
        command += ["--bids-filter-file", no_t1w]
    call(*command, show=True)
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


def judged(name, seed, labels, rows, true):
    """Return two rows of the table, of the group's effects and of age, and their counts by name."""
    rows_found, counts = [], {}
    for term, said in ((GROUP, "group"), ("age", "age")):
        of_term = [row for row in rows if row["term"] == term]
        wanted = [row for row in of_term if name != "null" and (said == "age" or row["name"] in PLANTED)]
        values = {id(row): true[row["name"], row["hemisphere"], term] for row in of_term}
        counts[said] = {
            "planted": len(wanted),
            "signs": sum(float(row["estimate"]) * values[id(row)] > 0 for row in wanted),
            "regions": len(of_term),
            "inside": sum(float(row["ci_low"]) <= values[id(row)] <= float(row["ci_high"]) for row in of_term),
            "significant": sum(row["significant"] == "true" for row in wanted),
            "false": sum(row["significant"] == "true" for row in of_term if row not in wanted),
        }
        c = counts[said]
        known = [row for nucleus in PLANTED for row in of_term if row["name"] == nucleus]
        digits = ".4f" if said == "group" else ".5f"
        rows_found.append(
            (
                name,
                seed,
                labels,
                said,
                *(f"{c[k]} of {c['planted']}" if c["planted"] else "-" for k in ("signs",)),
                f"{c['inside']} of {c['regions']}",
                f"{c['significant']} of {c['planted']}" if c["planted"] else "-",
                c["false"],
                ", ".join(format(float(row["estimate"]), digits) for row in known),
                ", ".join(format(values[id(row)], digits) for row in known),
            )
        )
    return rows_found, counts


def summary(counts, effect):
    """Say how many are as they should be."""

    def total(said, what):
        return sum(each[said][what] for each in counts)

    inside, regions = (total("group", what) + total("age", what) for what in ("inside", "regions"))
    false = total("group", "false") + total("age", "false")
    return (
        f"{effect:g} ppm were added to putamen and pallidum of patients: {total('group', 'signs')} of "
        f"{total('group', 'planted')} planted differences have the right sign, {total('group', 'significant')} are "
        f"significant after FDR. Age raises every nucleus: {total('age', 'signs')} of {total('age', 'planted')} slopes "
        f"have the sign of the reference, {total('age', 'significant')} are significant. {inside} of {regions} "
        f"intervals hold the reference (95 %). Significant where nothing was planted: {false} regions."
    )


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--preset", default="default")
    options.add_argument("--voxel-size", type=float, default=2.0, help="mm")
    options.add_argument("--group-effect", type=float, default=0.04, help="ppm")
    options.add_argument("--subjects", type=int, default=12)
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    options.add_argument("--atlas-seeds", type=int, nargs="*", default=[1], help="with the atlas's labels too (slow)")
    options.add_argument("--folder", type=Path, help="where the cohorts are kept (default: a temporary folder)")
    args, more = options.parse_known_args(argv)
    if args.quick:
        args.voxel_size, args.subjects, args.seeds, args.atlas_seeds = 4.0, 6, [1], []
    runs = [("true", seed) for seed in args.seeds] + [("atlas", seed) for seed in args.atlas_seeds]
    with tempfile.TemporaryDirectory() as scratch:
        folder, rows, counts = args.folder or Path(scratch), [], []
        for labels, seed in runs:
            for name in args.only or ("planted", "null"):
                judgements, counted = judged(name, seed, labels, *run_cohort(folder, args, name, seed, labels, more))
                rows += judgements
                counts.append(counted)
    text = summary(counts, args.group_effect)
    print(text)
    what = f"{args.subjects} participants, {args.voxel_size:g} mm, preset {args.preset}"
    write_table(args.readme, "cohort", f"{machine()}. {what}. {text}", HEAD, rows, 4)


if __name__ == "__main__":
    main()
