"""The options of the command line. Imports nothing heavy, so that ``--help`` answers at once."""

import argparse

from bids_app import __version__
from bids_app.cli.actions import Explain, ShowPreset
from bids_app.cli.execution_options import add_cluster, add_execution
from bids_app.cli.group_options import add_group
from bids_app.cli.parser import Parser
from bids_app.cli.types import command_line, count, desc, file_or_name, folder_or_name, label, pattern, place, words

LEVELS = ("convert", "participant", "group")
#: What can be taken from other datasets (the names of ``dataset.derived.USES``, which a test compares).
USES = ("mask", "total_field", "local_field", "chimap", "r2star", "r2", "r2prime", "fibre_angle")

DESCRIPTION = "Quantitative susceptibility mapping of a BIDS dataset: susceptibility and R2*."

_EPILOG = """\
more examples:
  qsm-bids-app tui                       (guided use in the terminal: choose, run, watch, rate)
  qsm-bids-app demo                      (simulate a small study, map it, compare with the truth)
  qsm-bids-app /data /out participant
  qsm-bids-app /data /out convert participant group --dicom-dir /dicom
  qsm-bids-app /data /out group --model "chi ~ age + sex + group"
  qsm-bids-app /data /out participant --participant-label 01 02 --preset fast
  qsm-bids-app /data /out participant --set inversion.rts.delta=0.2 --set background.vsharp.threshold=0.03
  qsm-bids-app /data /out participant --dry-run

exit codes: 0 all done, 1 a run failed, 2 usage, 3 input dataset or output folder cannot be used,
4 a required tool is missing, 5 another command is writing the same output,
130 or 143 stopped from outside (Ctrl-C or SIGTERM)
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; the Boutiques descriptor and the documentation are made from it too."""
    parser = Parser(
        prog="qsm-bids-app",
        usage="%(prog)s BIDS_DIR OUTPUT_DIR LEVEL [LEVEL ...] [options]\n"
        "       %(prog)s tui [FOLDER]\n       %(prog)s demo [FOLDER]",
        description=f"{DESCRIPTION}\n\nexample: qsm-bids-app /data /out participant --participant-label 01 02",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", metavar="BIDS_DIR", type=place, help="the BIDS dataset")
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", type=place, help="where the derivative dataset is written")
    parser.add_argument("levels", nargs="+", choices=LEVELS, metavar="LEVEL", help=f"what to run: {', '.join(LEVELS)}")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="print more (-vv: everything)")
    parser.add_argument("--version", action="version", version=f"qsm-bids-app {__version__}")
    parser.add_argument(
        "--show-preset", action=ShowPreset, metavar="NAME", help="print a preset as TOML and stop; 'list' names all"
    )
    parser.add_argument(
        "--explain",
        action=Explain,
        metavar="NAME",
        help="explain a section, method or parameter (inversion, inversion.tv, background.lbv.corrections) and stop; "
        "'list' names the sections",
    )
    _add_selection(parser.add_argument_group("which data"))
    _add_conversion(parser.add_argument_group("conversion to BIDS (level convert): the scans, and their names"))
    _add_processing(parser.add_argument_group("how it is processed"))
    _add_regions(parser.add_argument_group("regions: segmentation of the T1w image, registration, tables"))
    _add_export(parser.add_argument_group("maps as DICOM"))
    group = parser.add_argument_group("group: template, maps, tables and statistics of the study")
    add_group(group)
    add_execution(parser.add_argument_group("how it is run"))
    add_cluster(parser.add_argument_group("clusters (see README, 'On a cluster')"))
    return parser


def _add_selection(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--participant-label",
        type=label,
        nargs="+",
        metavar="LABEL",
        help="participants to process, with or without 'sub-'",
    )
    add("--session-label", type=label, nargs="+", metavar="LABEL", help="sessions to process, with or without 'ses-'")
    add(
        "--bids-filter-file",
        type=place,
        metavar="FILE",
        help='JSON that selects images by entities, e.g. {"gre": {"acquisition": "qsm"}, "t1w": {"run": 1}}',
    )
    add(
        "--derivatives",
        nargs="+",
        type=place,
        metavar="DIR",
        help="derivative datasets: their brain masks replace computed ones, their maps (fields, Chimap, R2starmap) "
        "stand for the steps that make them, and their segmentations are used (see --segmentation)",
    )
    add(
        "--derivatives-use",
        nargs="+",
        choices=USES,
        metavar="WHAT",
        help=f"take these alone from --derivatives: {', '.join(USES)} (default: all)",
    )
    add(
        "--mask-desc",
        type=desc,
        metavar="LABEL",
        help="use the masks of --derivatives with this desc- label instead of desc-brain or none",
    )
    add("--skip-bids-validation", action="store_true", help="do not run the BIDS validator on the input")


def _add_conversion(group: "argparse._ArgumentGroup") -> None:
    sources = group.add_mutually_exclusive_group()
    sources.add_argument(
        "--dicom-dir",
        type=place,
        metavar="DIR",
        help="DICOM files in any tree, archives too; they are converted into BIDS_DIR first",
    )
    sources.add_argument("--nifti-dir", type=place, metavar="DIR", help="the same for NIfTI and JSON files of dcm2niix")
    sources.add_argument(
        "--nifti-table",
        type=place,
        metavar="FILE",
        help="the same for a TSV file: path, subject, [session,] part, echo, EchoTime (s), B0 (T)",
    )
    add = group.add_argument
    add(
        "--heuristic",
        type=file_or_name,
        default="generic",
        metavar="NAME|FILE",
        help="names the series: generic (default, by content), siemens_gre, ge_gre, philips_gre or a heudiconv file",
    )
    add(
        "--subject-pattern",
        type=words,
        metavar="REGEX",
        help="finds the subject in folder names and PatientID; groups may be called subject and session",
    )
    add("--session-pattern", type=words, metavar="REGEX", help="finds the session in folder names and StudyDate")
    add(
        "--series",
        type=place,
        metavar="FILE",
        help="TSV file that corrects single series: their name (acq-fine_MEGRE, T1w, skip) or part (mag, phase); "
        "--dry-run shows what becomes of each",
    )
    add("--add", action="store_true", help="add series that came later to sessions of the dataset; no file is replaced")


def _add_processing(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--preset",
        type=file_or_name,
        default="default",
        metavar="NAME|FILE",
        help="set of methods and parameters (default: default)",
    )
    add("--config", type=place, metavar="FILE", help="TOML file with values that replace those of the preset")
    add(
        "--set",
        type=words,
        action="append",
        metavar="SECTION.NAME=VALUE",
        help="change one parameter, e.g. inversion.method=tkd or inversion.rts.delta=0.2; may be repeated",
    )
    add(
        "--brain-extraction",
        type=command_line,
        metavar="NAME|COMMAND",
        help="program that finds the brain in place of the surface model (bet in recipes): synthstrip, hd-bet, "
        "fsl-bet, or a command line such as 'my-tool {image} {mask}'",
    )
    add("--mask", type=words, metavar="RECIPE", help="recipe of the mask, e.g. 'quality,otsu:1.3,fill:25,open:1'")
    add(
        "--qsm-reference",
        type=words,
        metavar="REGION",
        help="where susceptibility is zero: mask (default), none, csf, or a region of the segmentation",
    )


def _add_export(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--export-dicom",
        type=place,
        metavar="DIR",
        help="after level participant, write the maps as DICOM into DIR, with the identity of the scans: a new folder "
        "outside every BIDS dataset (needs the DICOM source and highdicom)",
    )
    add(
        "--dicom-source",
        type=place,
        metavar="DIR",
        help="DICOM files that the dataset was converted from, for --export-dicom (default: --dicom-dir); each run's "
        "series is found by its grid and pixel values",
    )


def _add_regions(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--segmentation",
        type=pattern,
        nargs="+",
        metavar="METHOD",
        help="fastsurfer, atlas, none, or a pattern of existing files such as '*_seg-mine_dseg.nii.gz'; several may "
        "be given (default: FastSurfer if it is installed, otherwise an atlas if --atlas names one or TemplateFlow's "
        "is on disk, otherwise none)",
    )
    add(
        "--atlas",
        type=folder_or_name,
        metavar="DIR|NAME",
        help="folder with a T1w, dseg images and their tables, or a TemplateFlow template; ':LABEL' picks one dseg",
    )
    add("--fastsurfer-home", type=place, metavar="DIR", help="folder of run_fastsurfer.sh (or $FASTSURFER_HOME, PATH)")
    add(
        "--extra-dseg",
        type=pattern,
        nargs="+",
        metavar="PATTERN",
        help="further segmentations, of lesions for example; the pattern may contain {subject} and {session}",
    )
    add("--roi-erosion", type=count, metavar="N", help="erode every region by N voxels before its statistics")
    add(
        "--mask-from-anatomy",
        action="store_true",
        help="keep only the part of the mask that lies in the segmentation's brain mask",
    )
