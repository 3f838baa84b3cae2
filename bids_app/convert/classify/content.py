"""What a series is, decided by its DICOM content: needed for QSM, or not needed and why.

:func:`refuse` looks at one series; :func:`bids_app.convert.classify.grouping.decide` puts those that are left together.
"""

import re

from bids_app.convert.classify.coil_elements import is_element
from bids_app.convert.classify.series import SeriesFacts
from bids_app.convert.model import PARTS
from bids_app.model.filtered_phase import is_filtered_phase

#: Fewer slices than this are no volume.
_MIN_SLICES = 3
#: Gradient echoes with a longer echo time than this (ms) are not T1-weighted anatomy.
_MAX_T1W_ECHO_TIME = 8.0

_LOCALIZER = re.compile(r"(^|[\W_])(loc|locali[sz]er|scout|survey|plan|smartbrain|3[- ]?pl(ane)?|aahead|aascout)", re.I)
_PROJECTION = {
    "MNIP",
    "MINIP",
    "MIN IP",
    "MIP",
    "MPR",
    "PROJECTION IMAGE",
    "CSA MPR",
    "REFORMATTED",
    "MAX_IP",
    "MIN_IP",
}
_SWI = {"SWI", "SW", "VENO", "VENBOLD"}
_MAPS = {
    "ADC",
    "TRACEW",
    "FA",
    "T1 MAP",
    "T1_MAP",
    "T2 MAP",
    "T2_MAP",
    "T2_STAR MAP",
    "R2_STAR MAP",
    "T2* MAP",
    "R2* MAP",
    "WATER",
    "FAT",
    "IN_PHASE",
    "OUT_PHASE",
    "FAT_FRACTION",
    "QSM",
    "SUBTRACT",
    "SUBTRACTION",
    "STDDEV",
    "MEAN",
    "CBF",
}
#: Contrasts of an acquisition, unless the image is derived: then they name a map.
_MAPS_IF_DERIVED = {"T2_STAR", "R2_STAR", "T2STAR", "R2STAR", "T1", "T2", "PERFUSION"}
_FIELD_MAP_NAME = re.compile(r"field|fmap|(^|[\W_])b0($|[\W_])|shim", re.I)
_INVERSION_NAME = re.compile(r"inv[-_ ]?\d", re.I)
_T1_NAME = re.compile(r"mp2?rage|bravo|spgr|fspgr|tfe|tfl|(^|[\W_])t1", re.I)


def refuse(facts: SeriesFacts) -> str | None:
    """Return why a series is not needed or cannot be used, looking at this series alone; None when it may be needed."""
    for rule in (_not_an_image, _derived, _other_contrast, _unusable):
        reason = rule(facts)
        if reason:
            return reason
    return None


def _not_an_image(f: SeriesFacts) -> str | None:
    if not f.is_mr_image or f.modality != "MR":
        return f"not MR images (modality {f.modality})"
    if f.orientations == 0:
        return "no image orientation in the header: screenshots or other secondary images"
    if f.orientations > 1 or "LOCALIZER" in f.tokens:
        return "localizer: slices in several orientations"
    if _LOCALIZER.search(f.name):
        return "localizer, by its name"
    return None


def _derived(f: SeriesFacts) -> str | None:
    if f.tokens & _PROJECTION or re.search(r"(^|[\W_])m(in|n|ax)?ip([\W_]|$)", f.description, re.I):
        return "derived: intensity projection or reformatted images"
    if f.tokens & _SWI or re.search(r"(^|[\W_])swi_images?([\W_]|$)", f.description, re.I):
        return "derived: susceptibility-weighted images of the scanner; the app makes its own"
    if "phase" in f.parts and is_filtered_phase(f.description, f.tokens):
        return "phase that the scanner filtered for SWI: the filter removed the field that QSM needs"
    maps = f.tokens & (_MAPS | (_MAPS_IF_DERIVED if "DERIVED" in f.tokens else set()))
    if maps:
        return f"derived: {', '.join(sorted(maps)).lower()} made by the scanner"
    return None


def _other_contrast(f: SeriesFacts) -> str | None:
    if "difference" in f.parts:
        return "velocity or phase difference: the app needs the phase of every echo"
    if "field" in f.parts and not f.parts <= {"field", "mag"}:
        return "field map in Hz (B0 map) and phase in one series: export the map as a series of its own"
    if f.diffusion:
        return "diffusion-weighted images"
    if f.angio or re.search(r"(^|[\W_])(tof|angio|mra)([\W_]|$)", f.name, re.I):
        return "angiography"
    if f.gradient_echo is False:
        return "spin echo: no phase evolution to map"
    if f.epi and (max((v.repetition for v in f.volumes), default=1) > 1 or re.search("sbref", f.description, re.I)):
        return "EPI time series"
    return None


def _unusable(f: SeriesFacts) -> str | None:
    if f.of_coils and not all(is_element(coil) for coil in f.coils):
        return "combined images and images of single coil elements in one series: export the combined ones alone"
    if not f.parts <= {*PARTS, "field"}:
        return "magnitude and phase cannot be distinguished: neither ImageType nor any other field says it"
    if any(v.images > v.slices for v in f.volumes):
        return "several images at every position that no header field distinguishes: repeated or uncombined coil images"
    if f.slices < _MIN_SLICES:
        return f"only {f.slices} slice(s): no volume"
    return incomplete(f)


def incomplete(f: SeriesFacts) -> str | None:
    """Return in what way slices are missing, or None."""
    expected = f.slices
    for v in f.volumes:
        which = f"{v.part}" + (f" at TE {v.echo_time:g} ms" if v.echo_time is not None else "")
        if v.slices < expected:
            return f"incomplete: {v.slices} of {expected} slices ({which})"
        if v.gap:
            return f"incomplete: a slice is missing between others ({which})"
    for part in f.parts - ({"mag", "field"} if "field" in f.parts else set()):
        echoes = {v.echo_time for v in f.volumes if v.part == part}
        if part != "phase" and len(echoes) < len(f.echo_times):
            return f"incomplete: {len(echoes)} of {len(f.echo_times)} echoes of the {part} images"
    return None


def is_t1w(f: SeriesFacts) -> bool:
    """Return whether a series is T1-weighted anatomy: inversion-prepared or with a short echo, one magnitude."""
    if "UNI" in f.tokens:
        return True
    if f.parts - {"mag"} or len(f.echo_times) > 1 or f.epi:
        return False
    short = not f.echo_times or f.echo_times[0] < _MAX_T1W_ECHO_TIME
    inversion = "IR" in f.scanning_sequence.split("\\") or bool(f.ti)
    return short and f.dimension != "2D" and (inversion or bool(_T1_NAME.search(f"{f.description} {f.protocol}")))


def is_inversion_prepared(f: SeriesFacts) -> bool:
    """Return whether an inversion pulse comes first: anatomy, whatever its parts."""
    return "IR" in f.scanning_sequence.split("\\") or bool(f.ti)


def mp2rage_part(f: SeriesFacts) -> bool:
    """Return whether a series is one of the inversion images of MP2RAGE (not the combined UNI image)."""
    return (
        "UNI" not in f.tokens
        and is_inversion_prepared(f)
        and bool(_INVERSION_NAME.search(f.description) or "phase" in f.parts)
    )


def field_map_by_name(f: SeriesFacts) -> bool:
    """Return whether the sequence or the protocol is a field map's (``*fm2d2r``, ``gre_field_mapping``)."""
    return f.sequence.lower().startswith("*fm") or bool(_FIELD_MAP_NAME.search(f"{f.protocol} {f.description}"))
