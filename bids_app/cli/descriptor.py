"""``python -m bids_app.cli.descriptor [--bids]``: the Boutiques descriptors, made from the argument parser.

``make boutiques`` writes ``boutiques.json`` and, with ``--bids``, ``boutiques-bids.json``: the form that Boutiques
wants of a BIDS App (``bosh validate --bids``), whose only output is the folder. A test compares the files with what is
made here, so that they never drift.
"""

import argparse
import inspect
import json
import sys

from bids_app import __version__
from bids_app.cli.options import DESCRIPTION, build_parser
from bids_app.cli.types import place

#: Paths that the command makes: they need not exist beforehand, so for Boutiques they are strings and not files.
_MADE = {"output_dir", "work_dir"}
#: Value keys that Boutiques gives a meaning of its own, where they are not the destination.
_KEYS = {"levels": "[ANALYSIS_LEVEL]"}
#: Options that print something and stop; a pipeline system has no use for them.
_LEFT_OUT = {"help", "version", "show_preset", "explain"}

_IMAGE = "qsm-bids-app"
_ERRORS = {
    1: "One or more runs failed; the others are done",
    2: "The command line, a preset or a parameter is wrong",
    3: "The input dataset or the output folder cannot be used; every reason is listed and nothing was computed",
    4: "A required tool is missing",
    5: "Another command is writing the same output; it says who, where and since when, and nothing was computed",
}


def _number(action: argparse.Action) -> type | None:
    """Return int or float where the option's text becomes one: its type, or what the function in its place returns."""
    kind = action.type
    if callable(kind) and not isinstance(kind, type):
        kind = inspect.signature(kind).return_annotation
    return kind if kind in (int, float) else None


def _type(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "Flag"
    if action.type is place:
        return "String" if action.dest in _MADE else "File"
    if _number(action) is not None:
        return "Number"
    return "String"


def _input(action: argparse.Action) -> dict[str, object]:
    key = action.dest
    entry: dict[str, object] = {
        "id": key,
        "name": key.replace("_", " "),
        "description": (action.help or "").replace("%%", "%"),
        "type": _type(action),
        "value-key": _KEYS.get(key, f"[{key.upper()}]"),
        "optional": bool(action.option_strings),
    }
    flag = max(action.option_strings, key=len) if action.option_strings else None
    if flag is not None:
        entry["command-line-flag"] = flag
    if flag is not None and action.nargs is None:
        entry["command-line-flag-separator"] = "="  # a value may begin with a hyphen: --job-option=--qos=long
    if action.choices is not None:
        entry["value-choices"] = list(action.choices)
    if isinstance(action, argparse._AppendAction):
        # The flag is repeated before every value: "--set=a=1 --set=b=2".
        entry |= {"list": True, "list-separator": f" {flag}="}
    elif action.nargs in ("+", "*"):
        entry["list"] = True
    elif isinstance(action.nargs, int) and action.nargs > 1:
        entry |= {"list": True, "min-list-entries": action.nargs, "max-list-entries": action.nargs}
    if _number(action) is int:
        entry["integer"] = True
    return entry


def _outputs() -> list[dict[str, object]]:
    root = "[OUTPUT_DIR]"
    described = {
        "dataset": ("", "the derivative dataset: maps, tables, reports and logs", True),
        "dataset_description": ("/dataset_description.json", "what made the dataset", True),
        **{
            f"{name}{key}": (f"/sub-*{folder}/anat/*_{end}", f"{text}, of participants {which} sessions", True)
            for name, end, text in (
                ("chimaps", "Chimap.nii.gz", "susceptibility maps in ppm"),
                ("r2star", "R2starmap.nii.gz", "R2* maps in 1/s"),
                ("region_tables", "stats.tsv", "regional values of every run"),
            )
            for key, folder, which in (("", "", "without"), ("_sessions", "/ses-*", "with"))
        },
        "group_tables": ("/group_*", "tables and report of the whole study", True),
        "reports": ("/sub-*.html", "a report for every participant", True),
        "logs": ("/logs", "records of every step, logs and crash files", True),
    }
    return [
        {
            "id": name,
            "name": name.replace("_", " "),
            "description": text,
            "path-template": f"{root}{tail}",
            "optional": optional,
            "list": "*" in tail,
        }
        for name, (tail, text, optional) in described.items()
    ]


def _tests() -> list[dict[str, object]]:
    study = {"bids_dir": "demo/bids", "output_dir": "demo/derivatives", "levels": ["participant"]}
    return [
        {"name": "plan of the demo study", "invocation": study | {"dry_run": True}, "assertions": {"exit-code": 0}},
        {
            "name": "a parameter out of its range is a usage error",
            "invocation": study | {"set": ["inversion.tkd.threshold=9"]},
            "assertions": {"exit-code": 2},
        },
    ]


def _inputs() -> list[dict[str, object]]:
    """Return all inputs, positional arguments first: options that take several values would swallow them."""
    actions = [action for action in build_parser()._actions if action.dest not in _LEFT_OUT]
    return [_input(action) for action in sorted(actions, key=lambda action: bool(action.option_strings))]


def descriptor() -> dict[str, object]:
    """Return the descriptor as a mapping that follows Boutiques' schema 0.5."""
    inputs = _inputs()
    return {
        "name": "qsm-bids-app",
        "tool-version": __version__,
        "schema-version": "0.5",
        "description": DESCRIPTION,
        "author": "The QSM BIDS App developers",
        "command-line": " ".join(["qsm-bids-app", *(str(entry["value-key"]) for entry in inputs)]),
        "container-image": {"type": "docker", "image": f"{_IMAGE}:{__version__}", "entrypoint": True},
        "inputs": inputs,
        "output-files": _outputs(),
        "error-codes": [{"code": code, "description": text} for code, text in _ERRORS.items()],
        "suggested-resources": {"cpu-cores": 4, "ram": 8, "walltime-estimate": 3600},
        "tags": {"domain": ["neuroinformatics", "mri"], "format": "bids"},
        "tests": _tests(),
    }


def bids_descriptor() -> dict[str, object]:
    """Return the descriptor in the form of a BIDS App: the output folder is named or chosen, and the only output."""
    inputs = _inputs()
    levels = next(entry for entry in inputs if entry["id"] == "levels")
    levels["value-choices"] = ["participant", "group"]
    out = next(entry for entry in inputs if entry["id"] == "output_dir")
    out["optional"] = True
    chosen = out | {"id": "output_dir_chosen", "name": "output dir chosen", "type": "File"}
    chosen["description"] = "the same, a folder that is there already"
    first = ("[BIDS_DIR]", "[OUTPUT_DIR]", "[ANALYSIS_LEVEL]", "[PARTICIPANT_LABEL]", "[SESSION_LABEL]")
    others = [str(entry["value-key"]) for entry in inputs if entry["value-key"] not in first]
    group = {
        "id": "output_folder",
        "name": "output folder",
        "members": ["output_dir", "output_dir_chosen"],
        "mutually-exclusive": True,
        "one-is-required": True,
    }
    return descriptor() | {
        "command-line": " ".join(["mkdir -p [OUTPUT_DIR]; qsm-bids-app", *first, *others]),
        # A shell runs the line, not the image's own entry point.
        "container-image": {"type": "docker", "image": f"{_IMAGE}:{__version__}", "entrypoint": False},
        "inputs": [*inputs, chosen],
        "groups": [group],
        "output-files": [output for output in _outputs() if output["id"] == "dataset"],
    }


def text(bids: bool = False) -> str:
    """Return the descriptor as it stands in ``boutiques.json`` or, for ``bids``, in ``boutiques-bids.json``."""
    return json.dumps(bids_descriptor() if bids else descriptor(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text(bids=sys.argv[1:] == ["--bids"]))
