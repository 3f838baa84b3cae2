"""The figures of a run, stage by stage, each from the products that are there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from bids_app.qsm.units import ppm_to_hz
from bids_app.report.participant import figures_separation
from bids_app.report.participant.collect import Run
from bids_app.report.participant.figures_anatomy import regions, registration, segmentations
from bids_app.report.participant.figures_echoes import echoes
from bids_app.report.participant.figures_magnitude import relaxometry, swi
from bids_app.report.participant.figures_map import boundary_sources, histogram, susceptibility, trend, two_pass
from bids_app.report.participant.volumes import Maps, stored_image
from bids_app.report.pictures import COLOURS, Contour, Layer, Picture, grid, picture, planes, symmetric, window_of
from bids_app.report.slices import positions

#: Share of the largest field that differences of two stored fields may have by rounding.
_ROUNDING = 1e-5


@dataclass
class Stage:
    """One part of the page: a stage of the processing with its figures."""

    name: str
    title: str
    text: str
    pictures: list[Picture] = field(default_factory=list)
    #: Files of the stage's products, relative to the output folder.
    files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def stages(run: Run) -> list[Stage]:
    """Return the stages of a run of which something can be shown."""
    if run.path("magnitude") is None and stored_image(run) is None:
        return []
    try:
        maps = Maps(run)
    except Exception as error:  # the image itself may be what is wrong
        name, title, text, _, _ = _STAGES[1]
        return [Stage(name, title, text, problems=[f"Not drawn ({type(error).__name__}: {error})"])]
    listed = []
    for name, title, text, keys, figures in _STAGES:
        stage = Stage(name, title, text, files=_files(run, keys))
        for draw in figures:
            try:
                stage.pictures += draw(maps)
            except Exception as error:  # a figure that cannot be drawn must not take the page with it
                what = (draw.__doc__ or draw.__name__).split(".")[0]
                stage.problems.append(f"{what}: not drawn ({type(error).__name__}: {error})")
        if stage.pictures or stage.problems:
            listed.append(stage)
    return listed


def _files(run: Run, keys: tuple[str, ...]) -> list[str]:
    """Return the files of products that are there, relative to the output folder."""
    names = [name for key in keys for name in (run.keys(key) if key.endswith("@") else [key])]
    paths = [run.path(name) for name in names]
    return [path.relative_to(run.output_dir).as_posix() for path in paths if path is not None]


def masks(maps: Maps) -> Iterator[Picture]:
    """Quality map and outlines of the masks."""
    outlines, names = [], []
    for key, name, colour in (
        ("mask_brain", "filled mask", COLOURS[0]),
        ("mask_reliable", "reliable voxels", COLOURS[1]),
        ("mask_qsm", "valid map", COLOURS[2]),
    ):
        inside = maps.inside(key)
        if inside is not None:
            outlines.append(Contour(inside, colour, name))
            names.append(f"{name} ({_COLOUR_NAMES[colour]})")
    if not outlines:
        return
    layers = [Layer(maps.magnitude, maps.window, "magnitude", "a.u.", contours=outlines)]
    quality = maps.get("quality")
    if quality is not None:
        layers.append(Layer(quality, (0, 1), "phase quality", "0 to 1", "cividis", outlines[:1]))
    yield picture(
        planes(layers, maps.frame),
        "Masks and phase quality",
        f"Outlines: {', '.join(names)}. The filled mask should follow the brain's surface; holes in the reliable mask "
        "should lie only in veins, in haemorrhages and above air-filled spaces.",
        f"Three planes of the magnitude with outlines of {', '.join(names)}"
        + (", and of the phase quality map." if quality is not None else "."),
    )


def mask_slices(maps: Maps) -> Iterator[Picture]:
    """Outline of the filled mask, slice by slice."""
    inside = maps.inside("mask_brain")
    if inside is None:
        return
    layer = Layer(maps.magnitude, maps.window, "", "a.u.", contours=[Contour(inside, COLOURS[0], "filled mask")])
    places = positions(maps.frame, "axial", _MASK_ROWS * _MASK_COLUMNS)
    rows = [places[n : n + _MASK_COLUMNS] for n in range(0, len(places), _MASK_COLUMNS)]
    yield picture(
        grid([[(layer, "axial", at) for at in row] for row in rows], maps.frame),
        "Filled mask, slice by slice",
        "Axial slices at equal distances through the mask, from bottom to top. The outline should contain "
        "the whole brain, from the brainstem to the vertex, but no tissue outside it such as orbits, muscle or scalp.",
        f"{len(places)} axial slices of the magnitude with the outline of the filled mask.",
    )


#: Slices of the mask's own figure.
_MASK_ROWS, _MASK_COLUMNS = 4, 6
_COLOUR_NAMES = dict(zip(COLOURS, ("orange", "blue", "green", "yellow", "pink"), strict=True))


def fields(maps: Maps) -> Iterator[Picture]:
    """Total and local field."""
    layers = []
    for key, name in (("total_field", "total field"), ("local_field", "local field")):
        data = maps.get(key)
        if data is not None:
            layers.append(Layer(data, symmetric(data, maps.mask), name, "Hz", "PuOr_r", inside=maps.mask))
    if layers:
        yield picture(
            planes(layers, maps.frame),
            "Total and local field",
            "The total field should vary slowly over the head, be strong above the sinuses, and have no jumps. The "
            "local field should show anatomy (veins, deep grey matter). Slow shading is residual background field.",
            f"Three planes of the {' and of the '.join(layer.name for layer in layers)} in hertz, purple below zero "
            "and orange above.",
        )


def corrections(maps: Maps) -> Iterator[Picture]:
    """What was removed from the total field before the background."""
    before, after = maps.get("total_field"), maps.get("corrected_field")
    strength = None if maps.run.source is None else maps.run.source.field_strength
    if before is None or after is None or not strength:
        return
    removed = before - ppm_to_hz(after, strength)
    largest = float(np.abs(removed[maps.mask]).max(initial=0))
    if largest <= _ROUNDING * float(np.abs(before[maps.mask]).max(initial=0)):
        return
    layer = Layer(removed, symmetric(removed, maps.mask), "removed", "Hz", "PuOr_r", inside=maps.mask)
    yield picture(
        planes([layer], maps.frame),
        "Corrections of the total field",
        "What was removed from the total field before background field removal: alternation from voxel to voxel and, "
        "with a single echo, the smooth transmit and receive phase (this software's own methods). It should not follow "
        "the anatomy.",
        "Three planes of what was removed from the total field in hertz, purple below zero and orange above.",
    )


def residuals(maps: Maps) -> Iterator[Picture]:
    """Residual of the field fit and standard error of the field."""
    layers = []
    for key, name, unit in (("residual", "residual of the fit", "rad"), ("field_sd", "standard error", "Hz")):
        data = maps.get(key)
        if data is not None:
            top = window_of(data, maps.mask, 0, 98)[1]
            layers.append(Layer(data, (0, top), name, unit, "viridis", inside=maps.mask))
    if layers:
        yield picture(
            planes(layers, maps.frame),
            "Field fit",
            "Dark is good. In bright areas inside the brain, the phase does not grow linearly with echo time. Causes "
            "are flow, motion, unwrapping errors, or a phase offset that remains.",
            f"Three planes of the {' and of the '.join(layer.name for layer in layers)} of the field fit.",
        )


_Figure = Callable[[Maps], Iterator[Picture]]
#: Name, title, sentence, products and figures of each stage. The map comes first: it is what the reader came for.
_STAGES: tuple[tuple[str, str, str, tuple[str, ...], tuple[_Figure, ...]], ...] = (
    (
        "chi",
        "Susceptibility",
        "The result of the run. In all slices, the person's right side is on the left (radiological convention).",
        ("chimap", "mask_qsm", "chimap_singlepass"),
        (susceptibility, two_pass, boundary_sources, trend, histogram),
    ),
    ("input", "Images", "The images as the scanner stored them.", ("magnitude",), (echoes,)),
    (
        "masks",
        "Masks",
        "Where there is signal, and where the phase is reliable.",
        ("mask_brain", "mask_processing", "mask_reliable", "mask_anatomy"),
        (masks, mask_slices),
    ),
    (
        "field",
        "Field",
        "The frequency offset (total field), and the part of it that the tissue causes (local field).",
        ("total_field", "local_field"),
        (fields, corrections, residuals),
    ),
    ("relaxometry", "Relaxation", "How fast the signal decays.", ("r2star", "t2star", "s0"), (relaxometry,)),
    (
        "spin-echo",
        "Spin-echo relaxation",
        "Irreversible and reversible decay.",
        ("r2", "t2", "r2prime", "r2prime_sd", "mask_r2prime"),
        (figures_separation.spin_echo,),
    ),
    (
        "separation",
        "Source separation",
        "Paramagnetic and diamagnetic susceptibility of each voxel.",
        ("chi_paramagnetic", "chi_diamagnetic", "separation_residual"),
        (figures_separation.sources,),
    ),
    (
        "swi",
        "Susceptibility-weighted image",
        "The image for visual reading, with dark veins.",
        ("swi", "minip"),
        (swi,),
    ),
    (
        "regions",
        "Anatomy",
        "Regions and their values.",
        ("regions@", "dseg_gre@"),
        (registration, segmentations, regions),
    ),
)
