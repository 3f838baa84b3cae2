"""What a header says of patient, study and series, in plain values: the same fields for DICOM and for NIfTI."""

from typing import NotRequired, TypedDict


class SeriesHeader(TypedDict):
    """Values of one image's header that the rules decide by; texts are empty and numbers None where it says nothing."""

    study_uid: str
    series_uid: str
    sop_uid: str
    frame_of_reference: NotRequired[str]
    is_mr_image: bool
    modality: str
    patient_id: str
    patient_name: str
    birth_date: str
    age: str
    sex: str
    study_date: str  # YYYYMMDD
    study_time: str  # HHMMSS.ffffff
    study_description: str
    accession_number: str
    number: int
    description: str
    protocol: str
    sequence: str
    manufacturer: str
    image_type: tuple[str, ...]
    scanning_sequence: str
    echo_pulse: str
    epi: bool
    dimension: str
    tr: float | None  # ms
    flip: float | None  # degrees
    ti: float | None  # ms
    angio: bool
    b_value: float | None
    field: float | None  # T
    rows: int
    columns: int
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]  # mm
    origin: tuple[float, ...]  # mm
    coil: str
    date_time: str  # YYYYMMDDHHMMSS.ffffff
    rescale_type: str
    echo_spacing: NotRequired[float | None]  # ms between the echoes of a field map
    enhanced: bool
