"""The manual segmentation of the template (``--group-dseg``): checked before anything runs."""

import re
from pathlib import Path

import numpy as np

from bids_app.adapters.images import off_grid
from bids_app.adapters.itksnap import read_labels
from bids_app.derivatives.files import read_label_image
from bids_app.derivatives.names import lookup_path
from bids_app.engine.cache import path_of
from bids_app.errors import InputRefusedError, QsmAppError, UsageError
from bids_app.model.cohort import Cohort
from bids_app.model.context import Context
from bids_app.model.records import entities_in
from bids_app.model.template import ManualSegmentation


def manual_segmentation_of(
    image: Path, table: Path | None, cohort: Cohort, template: ManualSegmentation, context: Context
) -> ManualSegmentation:
    """Return ``template`` (a segmentation without files) with an image of labels and their table.

    Raises
    ------
    UsageError
        If a file is missing, or the segmentation's name is taken.
    InputRefusedError
        If it is no label image on the template's grid, is empty, or the table lacks a label.
    """
    for option, path in (("--group-dseg", image), ("--group-labels", table)):
        if path is not None and not path.is_file():
            raise UsageError(f"{option}: there is no file {path}")
    if table is None and lookup_path(image).is_file():
        table = lookup_path(image)
    stem = image.name.split(".", 1)[0]
    name = dict(entities_in(stem)).get("seg") or re.sub(r"[^A-Za-z0-9]", "", stem)
    if name in cohort.segmentations:
        raise UsageError(
            f"--group-dseg: the participants have a segmentation called {name} already; rename {image.name}, "
            "e.g. seg-mine_dseg.nii.gz"
        )
    reasons = list(_faults(image, table, _template_image(template, context)))
    if reasons:
        raise InputRefusedError(reasons)
    return ManualSegmentation(name, image, table, template.template, template.target, template.files)


def _faults(image: Path, table: Path | None, reference: Path | None) -> list[str]:
    try:
        data, affine = read_label_image(image)
    except QsmAppError as error:
        return [str(error)]
    except Exception as error:  # whatever a reader of images says of a file that is none
        return [f"{image} is no image that can be read: {error}"]
    if reference is not None:
        fault = off_grid(image, data.shape, affine, reference)
        if fault:
            return [fault]
    present = {int(value) for value in np.unique(data) if value}
    if not present:
        return [f"{image} is empty: no voxel has a label"]
    if table is not None:
        lost = sorted(present - set(read_labels(table)))
        if lost:
            return [f"{table} has no name for label {', '.join(map(str, lost[:10]))} of {image.name}"]
    return []


def _template_image(template: ManualSegmentation, context: Context) -> Path | None:
    """Return an image of the template, None where it is not there yet (a step checks the grid then)."""
    if template.files:
        return template.files[0][1]
    paths = (path_of(key, template, context) for key in ("template_t1w", "template_magnitude"))
    return next((path for path in paths if path.is_file()), None)
