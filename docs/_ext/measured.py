"""What was measured of a method, from the tables of ``benchmarks/README.md``: time, memory, accuracy."""

import re
from functools import cache
from pathlib import Path

_README = Path(__file__).parents[2] / "benchmarks" / "README.md"
_VOLUME = "256x256x160"
#: Names of methods in the table of speed, where they differ from the method's own.
_STAGES = {
    ("offsets", "mcpc3ds"): "mcpc3ds",
    ("offsets", "bipolar"): "bipolar",
    ("field_fit", "linear"): "fit, linear",
    ("field_fit", "nonlinear"): "fit, complex signal",
    ("relaxometry", "arlo"): "r2star, arlo",
    ("relaxometry", "loglinear"): "r2star, log-linear",
    ("swi", "clearswi"): "swi",
}
#: The simulated head of the rows about accuracy.
_HEAD = {"voxel": "2x2x2 mm", "view": "axial", "SNR": "40"}
_PICTURE = "../../auto_examples/images/sphx_glr_plot_7_compare_inversions_001.png"


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a table by its marker, as cells by column.

    Raises
    ------
    ValueError
        If there is no such table.
    """
    text = _README.read_text(encoding="utf-8")
    match = re.search(rf"<!-- {name}: begin -->(.*?)<!-- {name}: end -->", text, re.DOTALL)
    lines = [line for line in match[1].splitlines() if line.startswith("|")] if match else []
    if len(lines) < 3:
        raise ValueError(f"{_README}: there is no table {name}")
    head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return tuple(dict(zip(head, cells, strict=True)) for cells in body)


def _speed(kind: str, name: str) -> list[str]:
    wanted = _STAGES.get((kind, name))
    return [
        f"{row['s']} s and {row['peak GB']} GB at most for {_VOLUME.replace('x', ' × ')} voxels on 2 cores"
        + (" and 4 echoes." if wanted else ".")
        for row in rows("speed")
        if row["volume"] == _VOLUME
        and (row["method"] == wanted if wanted else (row["job"], row["method"]) == (kind, name))
    ]


def _accuracy(kind: str, name: str) -> list[str]:
    if kind not in ("inversion", "background"):
        return []
    partner, fixed = ("background", "lbv") if kind == "inversion" else ("inversion", "bayes")
    fixed = "none" if name == "tgv" else fixed
    fixed_part = f" with {partner} `{fixed}`" if fixed != "none" else ""
    sentences = [
        f"{_score(row)}, slope of the nuclei {row['slope']}, on a simulated head of 2 mm at SNR 40{fixed_part}."
        for row in rows("accuracy")
        if _HEAD.items() <= row.items() and row[kind] == name and row[partner] == fixed
    ]
    sentences += [
        f"{_score(row)}, in a field that no isotropic susceptibility makes (weak disturbance)."
        for row in rows("orientations")
        if kind == "inversion" and row["disturbance"] == "weak" and row["inversion"] == name
    ]
    return sentences


def _score(row: dict[str, str]) -> str:
    return f"NRMSE {row['NRMSE %']} %, XSIM {row['XSIM']}"


def measured(kind: str, name: str) -> str:
    """Return the section of a method's page about cost and accuracy, empty where nothing was measured."""
    lines = [*_speed(kind, name), *_accuracy(kind, name)]
    text = "## Cost and accuracy\n\n" + "".join(f"* {line}\n" for line in lines) if lines else ""
    if lines:
        text += "\n[Validation](../../validation.md) compares all methods.\n\n"
    if kind == "inversion":
        text += (
            f"## Picture\n\n![The truth and the maps of all inversions]({_PICTURE})\n\n"
            "The tutorial [Compare inversions](../../auto_examples/plot_7_compare_inversions) makes it.\n\n"
        )
    return text
