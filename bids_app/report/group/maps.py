"""Pictures of the template: average maps, their spread and number, the group's mask, fused segmentations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_app.derivatives.files import read_image
from bids_app.report.group import tables as cohort_tables
from bids_app.report.group.terms import Levels, words_of
from bids_app.report.participant.collect import Run
from bids_app.report.participant.figures_anatomy import outlines_of
from bids_app.report.pictures import CHI_WINDOW, COLOURS, Contour, Layer, Picture, picture, planes, symmetric, window_of
from bids_app.report.slices import Array, Frame, frame, to_ras


class _Space:
    """Volumes on the template's grid in RAS axes."""

    def __init__(self, runs: Sequence[Run]):
        self.runs = runs
        reference, affine = read_image(self._path("mean_chimap") or Path())
        mask = self.get("mask_group")
        volume, voxel_size = to_ras(reference, affine)
        self.mask = mask > 0 if mask is not None else volume != 0
        self.frame = frame(self.mask, voxel_size)

    def _path(self, key: str) -> Path | None:
        return next((path for run in self.runs if (path := run.path(key)) is not None), None)

    def get(self, key: str, volume: int = 0) -> Array | None:
        path = self._path(key)
        if path is None:
            return None
        data, affine = read_image(path)
        return to_ras(data[..., volume] if data.ndim > 3 else data, affine)[0]

    def inside(self, data: Array) -> Array:
        return np.where(self.mask, data, np.float32(np.nan))

    def keys(self, start: str) -> list[str]:
        return list(dict.fromkeys(key for run in self.runs for key in run.keys(start)))


def pictures(runs: Sequence[Run]) -> list[Picture]:
    """Return the pictures of a template's space; none where no map is there."""
    if not any(run.path("mean_chimap") for run in runs):
        return []
    space = _Space(runs)
    return [*_averages(space), *_spread(space), *_anatomy(space), *_labels(space)]


def _averages(space: _Space) -> list[Picture]:
    layers, names = [], []
    for key, name, window, unit, shades in (
        ("mean_chimap", "mean χ", CHI_WINDOW, "ppm", "gray"),
        ("median_chimap", "median χ", CHI_WINDOW, "ppm", "gray"),
        ("mean_r2star", "mean R2*", (0.0, 80.0), "1/s", "inferno"),
        ("mean_chi_paramagnetic", "mean paramagnetic χ", (0.0, 0.15), "ppm", "inferno"),
        ("mean_chi_diamagnetic", "mean diamagnetic χ", (-0.08, 0.0), "ppm", "gray"),
    ):
        data = space.get(key)
        if data is not None:
            layers.append(Layer(space.inside(data), window, name, unit, shades))
            names.append(name)
    return [
        picture(
            planes(layers, space.frame),
            "Average maps",
            "Deep grey nuclei and large veins should be sharp, and look the same on the left and right.",
            f"Three planes of the {', '.join(names)} over participants.",
        )
    ]


def _spread(space: _Space) -> list[Picture]:
    layers = []
    for key, name, unit in (("sd_chimap", "standard deviation of χ", "ppm"), ("count_chimap", "participants", "")):
        data = space.get(key)
        if data is not None:
            top = window_of(data, space.mask, 0, 98)[1] if unit else max(1.0, float(data.max()))
            outline = [] if unit else [Contour(space.mask, COLOURS[0], "group mask")]
            layers.append(Layer(space.inside(data) if unit else data, (0, top), name, unit, "viridis", outline))
    if not layers:
        return []
    return [
        picture(
            planes(layers, space.frame),
            "Spread and number",
            "In bright areas of the spread, the participants or their registrations differ. The orange outline is the "
            "mask of the group: at least half of the participants have a value there.",
            "Three planes of the standard deviation over participants and of the number of participants, with the "
            "outline of the group's mask.",
        )
    ]


def _anatomy(space: _Space) -> list[Picture]:
    layers = []
    for key, name in (("template_magnitude", "magnitude"), ("template_t1w", "T1w")):
        data = space.get(key)
        if data is not None and data.shape == space.mask.shape:
            layers.append(Layer(data, window_of(data), name, "a.u.", contours=[Contour(space.mask, COLOURS[0], "")]))
    if not layers:
        return []
    return [
        picture(
            planes(layers, space.frame),
            "Template",
            "Averages in the mean shape of the group, with the outline of the group's mask.",
            f"Three planes of the template's {' and '.join(layer.name for layer in layers)} with the group's mask.",
        )
    ]


def _labels(space: _Space) -> list[Picture]:
    chi, magnitude = space.get("mean_chimap"), space.get("template_magnitude")
    pictures = []
    for key in space.keys("dseg_template@"):
        labels = space.get(key)
        if labels is None or not (labels > 0).any() or chi is None:
            continue
        labels = np.rint(labels)
        name = key.partition("@")[2]
        shown = Frame(space.frame.box, frame(labels > 0, space.frame.voxel_size).centre, space.frame.voxel_size)
        outlines = outlines_of(labels, (slice(None), slice(None), slice(None)))
        layers = [Layer(space.inside(chi), CHI_WINDOW, "mean χ", "ppm", contours=outlines)]
        if magnitude is not None and magnitude.shape == labels.shape:
            layers.append(Layer(magnitude, window_of(magnitude), "magnitude", "a.u.", contours=outlines))
        pictures.append(
            picture(
                planes(layers, shown),
                f"Segmentation {name}",
                "Labels of the participants, fused by majority vote. The colours only distinguish neighbours.",
                f"Outlines of the fused regions of {name} on the average maps.",
            )
        )
    return pictures


def statistics(runs: Sequence[Run], levels: Levels) -> list[Picture]:
    """Return pictures of the maps of voxel-wise statistics that are there: t, outlined where it is significant.

    ``levels`` are the values of the columns of words, which name the terms.
    """
    rows = cohort_tables.table_of(runs, "voxelwise")
    if not rows:
        return []
    space = _Space(runs)
    pictures = []
    for row in rows:
        t = space.get(f"stat_t@{row['contrast']}", int(row["volume"]))
        if t is None or row["term"] == "Intercept":
            continue
        outlines, words = [], []
        for key, name, colour, said in (
            ("fdr", "false discovery rate", COLOURS[1], "blue"),
            ("fwe", "family-wise error", COLOURS[4], "pink"),
        ):
            inside = space.get(f"stat_{key}@{row['contrast']}", int(row["volume"]))
            if inside is not None:
                outlines.append(Contour(inside != 0, colour, name))
                words.append(f"{int((inside != 0).sum())} voxels by {name} ({said})")
        background = space.get("mean_chimap")
        centre = np.unravel_index(int(np.argmax(np.where(space.mask, np.abs(t), 0))), t.shape)
        shown = Frame(space.frame.box, (int(centre[0]), int(centre[1]), int(centre[2])), space.frame.voxel_size)
        layers = [Layer(space.inside(t), symmetric(t, space.mask), "t", "", "PuOr_r", outlines)]
        if background is not None:
            layers.append(Layer(space.inside(background), CHI_WINDOW, "mean χ", "ppm", contours=outlines))
        title = f"{words_of(row['term'], levels)} on {row['response']}"
        pictures.append(
            picture(
                planes(layers, shown),
                title,
                f"The statistic t of {row['participants']} participants ({row['df']} degrees of freedom), in the "
                "planes of its largest value; purple below zero, orange above. "
                f"Significant: {'; '.join(words) or 'not tested'}.",
                f"Three planes of the map of t of {title}. Significant: {'; '.join(words) or 'not tested'}.",
            )
        )
    return pictures
