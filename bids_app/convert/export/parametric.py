"""Write a map as a DICOM parametric map: one file, values as floating-point numbers."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from bids_app import __version__
from bids_app.convert.export.classic import MANUFACTURER, MODEL, Map
from bids_app.convert.export.source import TYPE_2, Volume


def _source_of(volume: Volume) -> dict[str, object]:
    """Return the source images, and of an enhanced file the place of the volume's frames."""
    from highdicom.content import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    if not volume.frames:
        return {"source_images": list(volume.slices)}
    first, system = volume.slices[0], "PATIENT"
    data = pydicom.dcmread(volume.files[0], stop_before_pixels=True)
    for name in TYPE_2:
        if name not in data:
            setattr(data, name, None)
    distance = float(np.linalg.norm(volume.affine[:3, 2]))
    return {
        "source_images": [data],
        "pixel_measures": PixelMeasuresSequence(first.PixelSpacing, first.get("SliceThickness") or distance, distance),
        "plane_orientation": PlaneOrientationSequence(system, first.ImageOrientationPatient),
        "plane_positions": [PlanePositionSequence(system, head.ImagePositionPatient) for head in volume.slices],
    }


def write_parametric(exported: Map, volume: Volume, path: Path, number: int) -> Path:
    """Write a map with its values in float32, as they are, and a real-world value mapping with the unit.

    Raises
    ------
    ModuleNotFoundError
        If highdicom is not installed.
    """
    from highdicom.content import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from highdicom.sr.coding import CodedConcept

    values = np.nan_to_num(exported.values, posinf=0, neginf=0).transpose(2, 1, 0)
    low, high = float(values.min()), float(values.max())
    mapping = RealWorldValueMapping(
        lut_label=exported.description[:16],
        lut_explanation=exported.derivation[:64],
        unit=CodedConcept(exported.unit, "UCUM", exported.unit_meaning),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
    )
    window = VOILUTTransformation(window_center=(low + high) / 2, window_width=max(high - low, 1e-6))
    made = ParametricMap(
        **_source_of(volume),
        pixel_array=np.ascontiguousarray(values, np.float32),
        series_instance_uid=generate_uid(prefix=None),
        series_number=number,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number="none",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label="QSM",
        content_description=exported.description,
    )
    made.ContentCreatorName = None  # type 2 in the standard
    made.SeriesDescription, made.DerivationDescription = exported.description, exported.derivation
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path
