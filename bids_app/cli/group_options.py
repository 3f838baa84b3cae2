"""The options of the level ``group``, and what they say about whom it takes. Imports nothing heavy, for ``--help``."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from bids_app.cli.types import count, folder_or_name, part, place, positive, seconds, words
from bids_app.errors import UsageError

#: How closely files are compared with their records.
CHECKS = ("full", "quick")


@dataclass(frozen=True)
class GroupRules:
    """Whom the level ``group`` takes, and when it refuses."""

    allow_missing: bool = False  # continue when somebody is missing
    allow_mixed: bool = False  # continue when runs were made with different parameters or versions
    include_withdrawn: bool = False
    quick: bool = False
    ratings: tuple[Path, ...] = ()


def group_rules(args: argparse.Namespace, output_dir: Path) -> GroupRules:
    """Return the rules of a parsed command line.

    Raises
    ------
    UsageError
        If a table of ratings that it names is not there.
    """
    from bids_app.derivatives.ratings import ratings_path

    for path in args.ratings or ():
        if not path.exists():
            raise UsageError(f"--ratings: there is no {path}")
    default = ratings_path(output_dir)
    ratings = tuple(args.ratings or ([default] if default.is_file() else []))
    return GroupRules(
        args.allow_missing, args.allow_mixed, args.include_withdrawn, args.group_check == "quick", ratings
    )


def add_group(group: "argparse._ArgumentGroup") -> None:
    """Add all options of the level ``group``."""
    _add_cohort(group)
    _add_statistics(group)
    _add_stages(group)
    _add_template(group)


def _add_cohort(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--allow-missing",
        action="store_true",
        help="continue when participants are missing, failed, changed or incomplete; they are listed (default: refuse)",
    )
    add(
        "--allow-mixed",
        action="store_true",
        help="continue when runs were made with different parameters or versions; they are listed (default: refuse)",
    )
    add(
        "--include-withdrawn",
        action="store_true",
        help="keep runs that have results but no images in BIDS_DIR any more (default: leave them out and list them)",
    )
    add(
        "--ratings",
        type=place,
        nargs="+",
        metavar="PATH",
        help="tables of ratings, or folders with tables that the reports saved; runs rated 'exclude' are left out "
        "(default: OUTPUT_DIR/ratings.tsv where it exists)",
    )
    add(
        "--group-check",
        choices=CHECKS,
        default=CHECKS[0],
        help="compare all files that are read with the digests of their records (full, default), or trust large "
        "files by size and time (quick)",
    )


def _add_statistics(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--model",
        type=words,
        metavar="FORMULA",
        help="linear model of every region, e.g. 'chi ~ age + sex + group' with columns of participants.tsv and "
        "sessions.tsv (default: descriptive tables only)",
    )
    add(
        "--small-groups",
        action="store_true",
        help="fit --model to fewer than 10 participants too; at least 3 degrees of freedom must remain",
    )
    add(
        "--voxelwise",
        action="store_true",
        help="fit --model (of chi, r2star, chi_paramagnetic or chi_diamagnetic) to every voxel too: maps of effect, t, "
        "z, p, thresholded by FDR and FWE",
    )
    add(
        "--permutations",
        type=positive,
        metavar="N",
        help="family-wise error rate of --voxelwise from N permutations (default: Bonferroni's)",
    )
    add(
        "--group-dseg",
        type=place,
        metavar="FILE",
        help="manual segmentation of the template: measured in every run's own map and in the template's space",
    )
    add(
        "--group-labels",
        type=place,
        metavar="FILE",
        help="names of its labels: TSV (index, name) or ITK-SNAP's label description (default: the .tsv next to it)",
    )
    add(
        "--output-space",
        type=words,
        metavar="NAME",
        help="template of TemplateFlow, e.g. MNI152NLin2009cAsym or MNI152NLin2009cAsym:res-2, to which all maps are "
        "brought as well, with one interpolation",
    )


def _add_stages(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--stage",
        type=words,
        metavar="NAME",
        help="run the jobs of one stage only; the stages before it must be complete; --dry-run lists the stages",
    )
    add("--stage-part", type=part, metavar="I/N", help="of the stage, run the I-th of N parts (an array on a cluster)")
    add(
        "--stage-patience",
        type=seconds,
        default=0.0,
        metavar="S",
        help="seconds to wait for files of other nodes that a shared disk does not show yet (default: 0)",
    )


def _add_template(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--template",
        type=folder_or_name,
        metavar="WHAT",
        help="build (default): the template of the study; none: tables only; or the folder or TemplateFlow name of a "
        "template, to which participants who are not registered yet are registered",
    )
    add(
        "--template-iterations",
        nargs=2,
        type=count,
        metavar=("LINEAR", "SYN"),
        help="iterations of the template with linear maps and with SyN (default: 2 3)",
    )
