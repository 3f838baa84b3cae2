"""What can be chosen in each stage of the pipeline, from the phase to the susceptibility map.

Each class is frozen, checks its values when it is made, and is a section of the command's settings too. The parameters
of a method are in the module of the method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bids_app.qsm.device import DEVICES
from bids_app.qsm.mask.recipe import FILLED_RECIPE, RELIABLE_RECIPE
from bids_app.qsm.method import Kind
from bids_app.qsm.params import Params, param
from bids_app.qsm.registry import (
    BACKGROUND,
    FIELD_FITS,
    GRADIENT_CORRECTIONS,
    INVERSIONS,
    OFFSETS,
    RELAXOMETRY,
    SEPARATION,
    SPIN_ECHO,
    SWI,
    UNWRAP,
)

#: Kinds of the methods that have parameters in a section.
SECTION_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "field": ("unwrap", "offsets", "field_fit"),
    "background": ("background",),
    "inversion": ("inversion",),
    "relaxometry": ("relaxometry",),
    "swi": ("swi",),
    "separation": ("spin_echo", "gradient_correction", "separation"),
}

_DEVICE = "Where the method runs; cuda: on a GPU, through PyTorch; auto: cuda where there is a GPU, else cpu"


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
        choices=("auto", *OFFSETS, "none"),
        doc="Removal of the phase at echo time zero; auto: bipolar where the readout is, mcpc3ds else",
    )
    sign: str = param(
        "auto",
        choices=("auto", "keep", "invert"),
        doc="Sign of the stored phase; auto: inverted where the sidecar says that a GE scanner stored it",
    )
    unwrap: str = param("romeo", choices=tuple(UNWRAP), doc="Phase unwrapping")
    fit: str = param("linear", choices=tuple(FIELD_FITS), doc="Fit of the field over echoes")


@dataclass(frozen=True)
class MaskChoices(Params):
    """Masks as recipes (a source and operations in order), and whether the anatomy's brain mask joins them."""

    two_pass: bool = param(False, doc="Invert twice, in the reliable and in the filled mask, and combine")
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
    """Background field removal, and corrections of the field and the map."""

    method: str = param("lbv", choices=(*BACKGROUND, "none"), doc="Method; none: the inversion does it (tgv)")
    alternation: str = param(
        "remove",
        choices=("remove", "keep"),
        doc="Nyquist-frequency alternation of the total field; remove: along axes where it exceeds the noise",
    )
    transmit_receive_phase: str = param(
        "remove",
        choices=("remove", "keep"),
        doc="Parabola of the transmit and receive phase; remove: from the field of a single echo",
    )
    boundary_sources: str = param(
        "separate",
        choices=("separate", "keep"),
        doc="Strong sources at the mask boundary, as dural sinuses; separate: found in an initial map, inverted alone",
    )
    null_space_trend: str = param(
        "remove",
        choices=("remove", "keep"),
        doc="Smooth trends of the map that the field does not determine; remove: so that like tissue is alike",
    )
    device: str = param("cpu", choices=DEVICES, doc=_DEVICE)


@dataclass(frozen=True)
class InversionChoices(Params):
    """Dipole inversion."""

    method: str = param("bayes", choices=tuple(INVERSIONS), doc="Method")
    per_echo: bool = param(False, doc="Invert each echo and average the maps, weighted")
    device: str = param("cpu", choices=DEVICES, doc=_DEVICE)


@dataclass(frozen=True)
class ReferenceChoices(Params):
    """Zero of the susceptibility scale, and which maps are written."""

    region: str = param(
        "mask", doc="mask: the mean of the valid mask; none: as inverted; csf or a region's name: its mean"
    )
    keep_trend_map: bool = param(
        False, doc="Write the map before its null-space trend is removed too (desc-withtrend), to see what that changes"
    )


@dataclass(frozen=True)
class RelaxometryChoices(Params):
    """R2*, T2* and S0."""

    method: str = param("arlo", choices=(*RELAXOMETRY, "none"), doc="Method (multi-echo data)")


@dataclass(frozen=True)
class SwiChoices(Params):
    """Susceptibility-weighted image."""

    method: str = param("clearswi", choices=(*SWI, "none"), doc="Method (data with magnitude)")
    per_echo: bool = param(False, doc="Write the image of every echo too (desc-swiechoes)")


@dataclass(frozen=True)
class SeparationChoices(Params):
    """R2 and R2' from spin echoes, and separation of paramagnetic and diamagnetic susceptibility."""

    method: str = param("none", choices=(*SEPARATION, "none"), doc="Separation of the sources")
    r2: str = param("epg", choices=(*SPIN_ECHO, "none"), doc="Fit of R2 (runs with multi-echo spin echo, MESE)")
    gradient: str = param(
        "field_gradient",
        choices=(*GRADIENT_CORRECTIONS, "none"),
        doc="Correction of R2* for field gradients before R2' = R2* - R2; none: R2* of relaxometry as it is",
    )
