"""Masks of the object from the data alone, or around a given mask."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.reliability import reliability_weights
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.mask.erosion import dilate_by_sphere
from bids_app.qsm.mask.head import Brain
from bids_app.qsm.mask.make import find_brain, make_mask
from bids_app.qsm.mask.recipe import parse_recipe
from bids_app.qsm.options import MaskChoices
from bids_app.qsm.pipeline.arguments import check_volume

#: What the user reads where the recipe looks for a brain and finds none.
_NO_HEAD = (
    "no brain surface was found ({}): the mask holds the whole object; look at the masks, and choose another recipe "
    "(--mask), or the preset body for other parts of the body, if that is wrong. In fat the field is shifted by -3.4 "
    "ppm, since fat and water are not separated; in-phase echo times avoid that"
)


class EmptyMaskError(ValueError):
    """A mask has no voxel."""


@dataclass(frozen=True)
class Masks:
    """Masks of the stages that follow the field.

    Attributes
    ----------
    brain : bool, ``[x, y, z]``
        Mask of the object, holes filled; results are restricted to it.
    processing : bool, ``[x, y, z]``
        Where the field is processed: the same, or more around a given mask.
    reliable : bool, ``[x, y, z]``, or None
        Voxels with reliable phase for a second pass (None: one pass).
    warnings : tuple of str
        What the user should look at, in sentences.
    discarded : tuple of float
        Sizes of components that the filled mask lacks and that look like tissue, as shares of the one that it keeps.
    """

    brain: BoolArray
    processing: BoolArray
    reliable: BoolArray | None = None
    warnings: tuple[str, ...] = ()
    discarded: tuple[float, ...] = ()

    @property
    def passes(self) -> tuple[BoolArray, ...]:
        """The masks in which field and susceptibility are estimated, one for each pass."""
        return (self.processing,) if self.reliable is None else (self.processing, self.reliable)

    @property
    def cut(self) -> BoolArray | None:
        """The mask that results are restricted to, None where the field is processed in no other one."""
        return None if self.processing is self.brain else self.brain


def is_given(options: MaskChoices, given: bool) -> bool:
    """Return whether the mask is a given one, not one that a recipe makes from it."""
    return given and "given" not in parse_recipe(options.filled).sources


def is_processed_wider(options: MaskChoices, given: bool) -> bool:
    """Return whether the field is processed around the mask too.

    Given masks and those of an anatomy end at tissue, where background methods have their largest errors.
    """
    return options.margin > 0 and (options.from_anatomy or is_given(options, given))


def mask_sources(options: MaskChoices) -> set[str]:
    """Return the maps that the recipes start from: ``quality``, ``magnitude``, ``reliability``, ``given``."""
    recipes = (options.filled, options.reliable) if options.two_pass else (options.filled,)
    sources: set[str] = set().union(*(parse_recipe(recipe).sources for recipe in recipes))
    return sources - {"bet"} | {"quality", "magnitude"} if "bet" in sources else sources


def make_masks(
    sd: FloatArray,
    grid: Grid,
    *,
    quality: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    residual: FloatArray | None = None,
    given: BoolArray | None = None,
    anatomy: BoolArray | None = None,
    brain: BoolArray | None = None,
    options: MaskChoices = MaskChoices(),
) -> Masks:
    """Make the brain mask, what is processed around it, and with two passes the mask of reliable voxels.

    Parameters
    ----------
    sd : float32, ``[x, y, z]``
        Standard error of the field (:attr:`Field.sd`); voxels where it is 0 have no field and are in no mask.
    grid : Grid
        Sampling of the images.
    quality, magnitude, residual : float32, ``[x, y, z]``, optional
        Maps of the field that the recipes start from (of :class:`Field`).
    given : bool, ``[x, y, z]``, optional
        A mask from elsewhere; it is taken for the object's unless the recipe of the filled mask starts from it.
    anatomy : bool, ``[x, y, z]``, optional
        Brain mask of a segmentation, for ``options.from_anatomy``.
    brain : bool, ``[x, y, z]``, optional
        Brain mask that another program has found; it stands for ``bet`` in the recipes.
    options : MaskChoices
        Recipes, number of passes and margin.

    Returns
    -------
    Masks
        The masks; none is empty.

    Raises
    ------
    EmptyMaskError
        If a mask has no voxel.
    ValueError
        If a map that a recipe starts from is missing, or shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app import qsm
    >>> grid = qsm.Grid((24, 24, 24))
    >>> x, y, z = np.meshgrid(*[np.linspace(-1, 1, 24, dtype=np.float32)] * 3, indexing="ij")
    >>> ball = np.where(x**2 + y**2 + z**2 < 0.6, 100 + 10 * x, 1 + x).astype(np.float32)
    >>> options = qsm.MaskChoices(two_pass=False, filled="magnitude,otsu:1,holes")
    >>> masks = qsm.make_masks(np.ones(grid.shape, np.float32), grid, magnitude=ball, options=options)
    >>> bool(masks.brain[ball > 50].all()), len(masks.passes)
    (True, 1)
    """
    for name, volume in (("sd", sd), ("quality", quality), ("magnitude", magnitude), ("residual", residual)):
        if volume is not None:
            check_volume(name, volume, grid)
    given, anatomy, brain = (None if mask is None else checked_mask(mask, grid) for mask in (given, anatomy, brain))
    known = sd > 0
    reliability = reliability_weights(sd, known, residual) if "reliability" in mask_sources(options) else None
    maps = _Maps(known, grid, quality, magnitude, given, reliability)
    has_given = given is not None
    kept, wider = is_given(options, has_given), is_processed_wider(options, has_given)
    discarded: list[float] = []
    elsewhere = None if brain is None else Brain(brain)
    estimated: BoolArray | None = None
    warnings: tuple[str, ...] = ()
    if wider or not kept:
        surface = elsewhere or find_brain(options.filled, magnitude, quality, grid.voxel_size)
        # What the recipe makes around a given mask is no mask of its own: nobody has to look at it.
        estimated = maps.mask_by(options.filled, surface, None if kept else discarded)
        if surface is not None and not surface.is_head and not kept:
            warnings = (_NO_HEAD.format(surface.reason),)
    mask = given & known if kept and given is not None else estimated
    if options.from_anatomy and not kept and mask is not None:
        if anatomy is None:
            raise ValueError("options.from_anatomy needs the brain mask of a segmentation (anatomy)")
        mask = mask & anatomy
    processing = mask = _not_empty(mask, "the given mask is empty" if kept else _leaves_none(options.filled))
    if wider and estimated is not None:
        processing = mask | (estimated & dilate_by_sphere(mask, options.margin, grid.voxel_size))
    if not options.two_pass:
        return Masks(mask, processing, warnings=warnings, discarded=tuple(discarded))
    # Reliable voxels of the object, not of the scalp.
    reliable = maps.mask_by(options.reliable, elsewhere) & processing
    return Masks(mask, processing, _not_empty(reliable, _leaves_none(options.reliable)), warnings, tuple(discarded))


@dataclass(frozen=True)
class _Maps:
    """Maps that recipes start from, and where the field is known."""

    known: BoolArray
    grid: Grid
    quality: FloatArray | None
    magnitude: FloatArray | None
    given: BoolArray | None
    reliability: FloatArray | None

    def mask_by(self, recipe: str, brain: Brain | None, discarded: list[float] | None = None) -> BoolArray:
        """Return the mask of a recipe where the field is known; ``discarded`` receives the shares of what it drops."""
        mask = make_mask(
            recipe,
            quality=self.quality,
            magnitude=self.magnitude,
            given=self.given,
            reliability=self.reliability,
            voxel_size=self.grid.voxel_size,
            brain=brain,
            discarded=discarded,
        )
        return mask & self.known


def _leaves_none(recipe: str) -> str:
    return f"the mask recipe {recipe!r} leaves no voxel"


def _not_empty(mask: BoolArray | None, sentence: str) -> BoolArray:
    if mask is None or not np.any(mask):
        raise EmptyMaskError(sentence)
    return mask
