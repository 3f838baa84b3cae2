"""The undeformed head as a small atlas: a T1-weighted template and label images with their tables."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bids_app.derivatives.names import spell
from bids_app.phantom import sampling, subjects
from bids_app.phantom.folder import TRUTH, Folder
from bids_app.phantom.shapes import NUCLEI
from bids_app.phantom.simulate import Body
from bids_app.phantom.template import Head

ATLAS = TRUTH / "tpl-phantom" / "anat"
_ATLAS_GRID = "1 mm grid of the MNI152 template of nilearn"


def nucleus_labels() -> dict[int, str]:
    """Return the labels of the nuclei: right is odd, left is even."""
    return {
        2 * n + 1 + s: f"{side} {name}" for n, name in enumerate(NUCLEI) for s, side in enumerate(("right", "left"))
    }


def write_labels(folder: Folder, path: Path, labels: Mapping[int, str]) -> None:
    """Write the table of a segmentation's labels."""
    folder.text(path, "index\tname\n" + "".join(f"{index}\t{name}\n" for index, name in labels.items()))


def write_template(folder: Folder, head: Head) -> None:
    """Write the undeformed head as a small atlas, on the template's own 1 mm grid."""
    average = subjects.Person("template", 10_000, 0, 45.0, "F", "control")
    tissue = subjects.tissue_table(average, age=45.0, field_strength=3.0)
    body = Body(head, tissue, *subjects.no_warp(), np.eye(4))
    affine = np.eye(4)
    affine[:3, 3] = -98, -134, -92
    properties = body.sample(affine, (197, 233, 209), 1.0)
    names = {"tpl": "phantom", "res": "1"}
    folder.image(
        ATLAS / spell(names, "T1w", ".nii.gz"),
        properties[..., sampling.T1W],
        affine,
        "int16",
        {"SkullStripped": False, "Resolution": _ATLAS_GRID},
    )
    kinds = {"nuclei": (sampling.NUCLEUS, nucleus_labels()), "tissue": (sampling.TISSUE, sampling.TISSUE_LABELS)}
    for kind, (channel, labels) in kinds.items():
        atlas_names = {**names, "seg": kind}
        image = ATLAS / spell(atlas_names, "dseg", ".nii.gz")
        folder.image(image, properties[..., channel], affine, "uint8", {"Manual": False, "Resolution": _ATLAS_GRID})
        write_labels(folder, ATLAS / spell(atlas_names, "dseg", ".tsv"), labels)
    brain = ATLAS / spell({**names, "desc": "brain"}, "mask", ".nii.gz")
    inside = properties[..., sampling.BRAIN] >= 0.5
    folder.image(brain, inside, affine, "uint8", {"Type": "Brain", "Resolution": _ATLAS_GRID})
