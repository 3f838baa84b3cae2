"""What can be chosen in each stage of the pipeline, from the phase to the susceptibility map.

Each class is frozen, checks its values when it is made, and is a section of the command's settings too. The parameters
of a method stand beside the method.
"""

from dataclasses import dataclass
from typing import ClassVar

from bids_app.qsm.mask.recipe import FILLED_RECIPE, RELIABLE_RECIPE
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class FieldChoices(Params):
    """Phase to total field."""

    #: Methods that a choice makes use of besides the one of its name.
    ALSO: ClassVar[dict[str, tuple[str, ...]]] = {
        "auto": ("mcpc3ds", "bipolar"),
        "laplacian": ("romeo",),
        "combine": ("mcpc3ds",),
    }

    coils: str = param(
        "refuse",
        choices=("refuse", "combine"),
        doc="Images with a fourth dimension; combine: it holds the receive coils, which are combined",
    )
    offsets: str = param(
        "auto",
        choices=("auto", "mcpc3ds", "bipolar", "none"),
        doc="Removal of the phase at echo time zero; auto: bipolar where the readout is, mcpc3ds else",
    )
    sign: str = param(
        "auto",
        choices=("auto", "keep", "invert"),
        doc="Sign of the stored phase; auto: inverted where the sidecar says that a GE scanner stored it",
    )
    unwrap: str = param("romeo", choices=("romeo", "laplacian"), doc="Phase unwrapping")
    fit: str = param("linear", choices=("linear", "nonlinear"), doc="Fit of the field over echoes")
    keep_phase: bool = param(False, doc="Keep every echo's corrected phase for the inversion (inversion.per_echo)")


@dataclass(frozen=True)
class MaskChoices(Params):
    """Masks as recipes (a source and operations in order), and whether the anatomy's brain mask joins them."""

    two_pass: bool = param(True, doc="Invert twice, in the reliable and in the filled mask, and combine")
    filled: str = param(FILLED_RECIPE, doc="Recipe of the filled mask")
    reliable: str = param(RELIABLE_RECIPE, doc="Recipe of the mask of reliable voxels (two-pass only)")
    from_anatomy: bool = param(False, doc="Keep only what lies in the brain mask of the segmentation too")
    margin: float = param(
        5.0,
        low=0.0,
        high=50.0,
        unit="mm",
        doc="How far around a given mask or from_anatomy's the field is processed too, where the recipe finds object",
    )


@dataclass(frozen=True)
class BackgroundChoices(Params):
    """Background field removal."""

    method: str = param(
        "vsharp",
        choices=("vsharp", "resharp", "ismv", "pdf", "tfi", "lbv", "none"),
        doc="Method; none: the inversion does it (tgv)",
    )
    ringing: str = param(
        "auto",
        choices=("auto", "keep"),
        doc="What alternates from voxel to voxel in the field; auto: taken off where there is more of it than of noise",
    )
    transceive: str = param(
        "auto",
        choices=("auto", "keep"),
        doc="Parabola of the transmit and receive phase; auto: taken off the field of a single echo",
    )
    boundary_sources: str = param(
        "keep",
        choices=("keep", "apart"),
        doc="Strong sources at the rim, as dural sinuses; apart: found by a first look and inverted on their own",
    )
    trend: str = param(
        "keep",
        choices=("keep", "tissue"),
        doc="Smooth trends that no field can tell from a background; tissue: taken off so that like tissue is alike",
    )


@dataclass(frozen=True)
class InversionChoices(Params):
    """Dipole inversion."""

    method: str = param(
        "bayes",
        choices=("bayes", "hdqsm", "ilsqr", "medi", "nltv", "rts", "tgv", "tikhonov", "tkd", "tv"),
        doc="Method",
    )
    per_echo: bool = param(False, doc="Invert each echo and average the maps, weighted")


@dataclass(frozen=True)
class ReferenceChoices(Params):
    """Zero of the susceptibility scale."""

    region: str = param(
        "mask", doc="mask: the mean of the valid mask; none: as inverted; csf or a region's name: its mean"
    )


@dataclass(frozen=True)
class RelaxometryChoices(Params):
    """R2*, T2* and S0."""

    method: str = param("arlo", choices=("arlo", "loglinear", "none"), doc="Method (multi-echo data)")


@dataclass(frozen=True)
class SwiChoices(Params):
    """Susceptibility-weighted image."""

    method: str = param("clearswi", choices=("clearswi", "none"), doc="Method (data with magnitude)")
