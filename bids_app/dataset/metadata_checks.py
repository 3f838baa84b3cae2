"""Checks of the values of JSON sidecars that decide how a run is computed, besides echo times and field strength."""

import re
from collections.abc import Iterator, Mapping

from bids_app.model.filtered_phase import is_filtered_phase
from bids_app.model.records import GreRun

#: What BIDS knows as the unit of phase.
PHASE_UNITS = ("rad", "arbitrary")
#: Distance between slices, relative to their thickness, above which there are gaps between them.
_GAP = 1.05
_AXIS = re.compile(r"[ijk]-?")
#: Fields that hold a text, and fields that hold an axis of the image.
_TEXTS = ("Units", "Manufacturer", "MRAcquisitionType", "ReadoutMode", "ReadoutPolarity", "MultiEchoReadout")
_AXES = ("PhaseEncodingDirection", "SliceEncodingDirection")


def filtered_phase(run: GreRun) -> Iterator[str]:
    """A phase that was filtered for SWI has lost the field."""
    for echo in run.echoes:
        kinds, description = echo.metadata.get("ImageType"), echo.metadata.get("SeriesDescription")
        tokens = kinds if isinstance(kinds, list) else []
        name = description if isinstance(description, str) else ""
        if echo.phase is not None and run.starts_from_phase and is_filtered_phase(name, tokens):
            yield (
                f"{echo.phase.name}: the scanner filtered this phase for SWI, by its JSON sidecar (SeriesDescription "
                f"{name!r}, ImageType {', '.join(map(str, tokens)) or 'not given'}): the filter removed the field that "
                "QSM needs. Take the unfiltered phase, or leave this run out with --bids-filter-file. If the phase is "
                "not filtered, correct these two fields"
            )
            return


def metadata_values(run: GreRun) -> Iterator[str]:
    """Fields that are there have a value that means something; each wrong one is reported once for a run."""
    for echo in (*run.echoes, *run.spin_echo):
        yield from _problems(run.basename, echo.metadata)


def _problems(name: str, metadata: Mapping[str, object]) -> Iterator[str]:
    for key in _TEXTS:
        value = metadata.get(key, "")
        if not isinstance(value, str):
            yield f"{name}: {key} is {_shown(value)} in its JSON sidecars; set a text, or remove it"
    for key in _AXES:
        value = metadata.get(key, "k")
        if not (isinstance(value, str) and _AXIS.fullmatch(value)):
            yield (
                f"{name}: {key} is {_shown(value)} in its JSON sidecars; set i, j or k (with - for the opposite "
                "direction), or remove it"
            )
    kind = metadata.get("MRAcquisitionType", "3D")
    if isinstance(kind, str) and kind.upper() not in ("1D", "2D", "3D"):
        yield f"{name}: MRAcquisitionType is {_shown(kind)} in its JSON sidecars; set 2D or 3D, or remove it"


def metadata_remarks(run: GreRun) -> Iterator[str]:
    """Yield what the user should know about values that are passed over."""
    if run.suffix == "MP2RAGE" and dict(run.entities).get("inv") == "1":
        yield (
            "inv-1 of MP2RAGE: tissue whose magnetisation is still inverted has a phase larger by pi, which gives "
            "errors at its boundary; take the last inversion, for example with --bids-filter-file"
        )
    yield from _slice_gaps(run)
    units = {echo.metadata["Units"] for echo in run.echoes if "Units" in echo.metadata and echo.phase is not None}
    for unknown in sorted(str(unit) for unit in units if unit not in PHASE_UNITS):
        yield f'"Units" of the phase is {unknown!r}, which BIDS does not know: its range gives the scale to radians'


def _slice_gaps(run: GreRun) -> Iterator[str]:
    """Yield a sentence where the slices of a 2D acquisition do not touch."""
    metadata = run.echoes[0].metadata
    spacing, thickness = metadata.get("SpacingBetweenSlices"), metadata.get("SliceThickness")
    if not (isinstance(spacing, int | float) and isinstance(thickness, int | float) and 0 < thickness < spacing):
        return
    is_2d = str(metadata.get("MRAcquisitionType", "")).upper() == "2D"
    if is_2d and run.slice_axis is None and spacing > _GAP * thickness:
        yield (
            f"slices of {thickness:g} mm have a spacing of {spacing:g} mm: nothing is measured in the gaps, "
            "and sources there are missing from the map; acquire slices without gaps, or 3D"
        )


def _shown(value: object, most: int = 40) -> str:
    """Return a value as it is shown to the user, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
