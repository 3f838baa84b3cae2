"""Synthetic DICOM: small series as Siemens, GE and Philips write them, with a phase that is known."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4.1"
SHAPE = (16, 12, 8)  # columns, rows, slices
ECHO_TIMES = (5.0, 10.0, 15.0)  # ms
Volume = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scanner:
    """A patient in a scanner on a day; every series made with it belongs to one study."""

    vendor: str = "SIEMENS"
    patient_id: str = "P001"
    patient_name: str = "Doe^Jane"
    date: str = "20240131"
    time: str = "101500"
    shape: tuple[int, int, int] = SHAPE
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def study_uid(self) -> str:
        return generate_uid(entropy_srcs=["study", self.patient_id, self.date, self.time])


def truth(
    shape: tuple[int, int, int] = SHAPE, echo_times: Sequence[float] = ECHO_TIMES
) -> tuple[list[Volume], list[Volume]]:
    """Return magnitude (0 to 1) and wrapped phase (rad) for every echo, as ``[column, row, slice]`` arrays.

    The arrays differ along every axis, so that a flip or a swap shows; the phase covers all of (-pi, pi].
    """
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    magnitude = 0.3 + 0.6 * np.exp(-((x - 0.2) ** 2) - y**2 - (z + 0.3) ** 2)
    frequency = 60.0 * (x + 0.5 * y**2 - 0.7 * z)  # Hz
    magnitudes = [magnitude * math.exp(-te / 40.0) for te in echo_times]
    phases = [np.angle(np.exp(1j * (2 * np.pi * frequency * te / 1000 + 0.4))) for te in echo_times]
    return magnitudes, phases


def siemens_phase(phase: Volume) -> npt.NDArray[np.uint16]:
    """Return phase as Siemens stores it: 0 to 4095; slope 2 and intercept -4096 make pi of 4096."""
    return np.clip(np.round(phase / np.pi * 2048 + 2048), 0, 4095).astype(np.uint16)


def magnitude_pixels(magnitude: Volume) -> npt.NDArray[np.uint16]:
    return np.round(magnitude * 4000).astype(np.uint16)


def header(scanner: Scanner, number: int, description: str, **more: Any) -> Dataset:
    """Return what all images of a series share."""
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.Modality = "MR"
    data.Manufacturer = scanner.vendor
    data.PatientName, data.PatientID = scanner.patient_name, scanner.patient_id
    data.PatientBirthDate, data.PatientSex, data.PatientAge = "19700101", "F", "054Y"
    data.StudyInstanceUID = scanner.study_uid
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[scanner.study_uid, str(number), description])
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = scanner.date
    data.StudyTime = scanner.time
    data.SeriesTime = data.AcquisitionTime = data.ContentTime = scanner.time
    data.StudyID, data.AccessionNumber, data.AcquisitionNumber = "1", "", 1
    data.StudyDescription = "Head"
    data.SeriesNumber, data.SeriesDescription = number, description
    data.ProtocolName = "gre_qsm"
    data.OperatorsName = data.PerformingPhysicianName = "Operator^Otto"
    data.MagneticFieldStrength, data.ImagedNucleus, data.ImagingFrequency = 3.0, "1H", 123.25
    data.MRAcquisitionType, data.ScanningSequence, data.SequenceVariant = "3D", "GR", "SP"
    data.SequenceName = "*fl3d3r"
    data.PatientPosition = "HFS"
    data.RepetitionTime, data.FlipAngle, data.EchoTrainLength = 40.0, 15.0, 3
    data.SliceThickness, data.PixelSpacing = 2.0, [1.0, 1.0]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.Rows, data.Columns = scanner.shape[1], scanner.shape[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    for name, value in {**scanner.extra, **more}.items():
        setattr(data, name, value)
    return data


def save(data: Dataset, path: Path, sop_class: str = MR_IMAGE) -> Path:
    """Write a data set as a DICOM file with preamble and meta information."""
    uid = generate_uid(entropy_srcs=[str(data.SeriesInstanceUID), str(path)])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), data, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = sop_class, uid
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)
    return path


def write_slices(
    folder: Path,
    data: Dataset,
    pixels: npt.NDArray[Any],
    first_instance: int = 1,
    stem: str = "",
    orientations: int = 1,
    jitter: Callable[[], float] | None = None,
) -> list[Path]:
    """Write one volume slice by slice; ``pixels`` is ``[column, row, slice]`` of integers."""
    paths = []
    signed = pixels.dtype.kind == "i"
    for z in range(pixels.shape[2]):
        slice_data = pydicom.dataset.Dataset(data)
        slice_data.InstanceNumber = first_instance + z
        if jitter is not None:
            slice_data.EchoTime = f"{float(data.EchoTime) + jitter():.6f}"
        if orientations > 1:
            slice_data.ImageOrientationPatient = [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]][
                z % orientations
            ]
        slice_data.ImagePositionPatient = [-10.0, -20.0, float(2 * z)]
        slice_data.SliceLocation = float(2 * z)
        if signed:
            slice_data.PixelRepresentation, slice_data.BitsStored, slice_data.HighBit = 1, 16, 15
        slice_data.PixelData = np.ascontiguousarray(pixels[:, :, z].T.astype("<i2" if signed else "<u2")).tobytes()
        paths.append(save(slice_data, folder / f"{stem}{first_instance + z:04d}.dcm"))
    return paths


def siemens_gre(
    folder: Path,
    scanner: Scanner = Scanner(),
    number: int = 3,
    echo_times: Sequence[float] = ECHO_TIMES,
    joint: bool = False,
    shared_instance_numbers: bool = False,
    rescale: bool = True,
    more_types: Sequence[str] = (),
    jitter: Callable[[], float] | None = None,
    readout_mode: int | None = None,
    **more: Any,
) -> list[Path]:
    """Write magnitude and phase: two series (``number`` and the next), or one when ``joint``.

    ``more_types`` go into ImageType; ``jitter`` gives what is added to the echo time of every slice (ms);
    ``readout_mode`` is ``ucReadOutMode`` of the protocol in the private header.
    """
    magnitudes, phases = truth(scanner.shape, echo_times)
    paths: list[Path] = []
    for letter, stored in (("M", [magnitude_pixels(m) for m in magnitudes]), ("P", [siemens_phase(p) for p in phases])):
        series = number if joint or letter == "M" else number + 1
        for index, te in enumerate(echo_times):
            data = header(scanner, series, "gre_qsm", **more)
            data.ImageType = ["ORIGINAL", "PRIMARY", letter, "ND", *more_types]
            data.EchoTime, data.EchoNumbers = te, index + 1
            if readout_mode is not None:
                text = f"### ASCCONV BEGIN ###\nucReadOutMode\t =\t0x{readout_mode:x}\n### ASCCONV END ###\n"
                block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
                block.add_new(0x20, "OB", text.encode())
            if letter == "P" and rescale:
                data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -4096, 2, "US"
            block = 0 if shared_instance_numbers else index
            first = 1 + scanner.shape[2] * (block + (len(echo_times) if joint and letter == "P" else 0))
            target = folder / f"{series:03d}"
            paths += write_slices(target, data, stored[index], first, stem=f"{letter}{index + 1}_", jitter=jitter)
    return paths


def ge_gre(
    folder: Path,
    scanner: Scanner = Scanner(vendor="GE MEDICAL SYSTEMS"),
    number: int = 5,
    parts: str = "MP",
    echo_times: Sequence[float] = ECHO_TIMES,
    as_scanned: bool = False,
) -> list[Path]:
    """Write one series that holds the parts named (of M, P, R, I), told apart by (0043,102F) alone.

    ``as_scanned``: as GE scanners reconstruct them, with the opposite sign and with half a turn from slice to slice.
    """
    magnitudes, phases = truth(scanner.shape, echo_times)
    paths, first = [], 1
    for letter in parts:
        for index, te in enumerate(echo_times):
            complex_image = magnitudes[index] * np.exp(1j * phases[index])
            if as_scanned:
                complex_image = complex_image.conj() * (-1.0) ** np.arange(scanner.shape[2])
            stored = {
                "M": magnitudes[index] * 4000,
                "P": np.angle(complex_image) * 1000,
                "R": complex_image.real * 8000,
                "I": complex_image.imag * 8000,
            }[letter]
            data = header(scanner, number, "3D SWAN", SequenceName="SWAN", ProtocolName="brain")
            data.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
            data.EchoTime, data.EchoNumbers = te, index + 1
            block = data.private_block(0x0043, "GEMS_PARM_01", create=True)
            block.add_new(0x2F, "SS", "MPRI".index(letter))
            pixels = np.round(stored).astype(np.int16)
            paths += write_slices(folder / f"{number:03d}", data, pixels, first, stem="i")
            first += scanner.shape[2]
    return paths


def philips_enhanced(
    path: Path,
    scanner: Scanner = Scanner(vendor="Philips Medical Systems"),
    number: int = 401,
    echo_times: Sequence[float] = ECHO_TIMES,
    parts: str = "MP",
) -> Path:
    """Write one enhanced multi-frame file with all echoes and parts; phase is rescaled to radians."""
    magnitudes, phases = truth(scanner.shape, echo_times)
    data = header(scanner, number, "QSM", ProtocolName="WIP QSM", SequenceName="")
    data.ImageType = (
        ["ORIGINAL", "PRIMARY", "T2_STAR", "MIXED"] if len(parts) > 1 else ["ORIGINAL", "PRIMARY", "M", "NONE"]
    )
    data.PulseSequenceName, data.EchoPulseSequence = "FFE", "GRADIENT"
    data.ComplexImageComponent = "MIXED"
    data.BitsStored, data.HighBit = 16, 15
    data.AcquisitionDateTime = f"{scanner.date}{scanner.time}.0"
    data.AcquisitionContrast = "T2_STAR"
    for name in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RepetitionTime", "SequenceName"):
        delattr(data, name)
    shared = Dataset()
    timing = Dataset()
    timing.RepetitionTime, timing.FlipAngle = 40.0, 15.0
    shared.MRTimingAndRelatedParametersSequence = DicomSequence([timing])
    data.SharedFunctionalGroupsSequence = DicomSequence([shared])
    frames, stored = [], []
    for p, letter in enumerate(parts):
        for index, te in enumerate(echo_times):
            complex_image = magnitudes[index] * np.exp(1j * phases[index])
            image, slope, intercept = {
                "M": (magnitudes[index], 1 / 4000, 0.0),
                "P": (phases[index], 2 * math.pi / 4095, -math.pi),
                "R": (complex_image.real, 1 / 16000, -1.0),
                "I": (complex_image.imag, 1 / 16000, -1.0),
            }[letter]
            values = (image - intercept) / slope
            for z in range(scanner.shape[2]):
                frames.append(_philips_frame(letter, te, index + 1, z, p + 1, slope, intercept))
                stored.append(np.round(values[:, :, z].T).astype("<u2"))
    data.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    data.NumberOfFrames = len(frames)
    organization = Dataset()
    organization.DimensionOrganizationUID = generate_uid(entropy_srcs=["dimensions"])
    data.DimensionOrganizationSequence = DicomSequence([organization])
    data.DimensionIndexSequence = DicomSequence(
        [
            _dimension(0x00209056, 0x00209111),
            _dimension(0x00209057, 0x00209111),
            _dimension(0x00189082, 0x00189114),
            _dimension(0x00089208, 0x00189226),
        ]
    )
    data.PixelData = np.concatenate([s.ravel() for s in stored]).tobytes()
    return save(data, path, ENHANCED_MR_IMAGE)


def enhanced(
    path: Path,
    scanner: Scanner,
    number: int,
    volumes: Sequence[tuple[str, int]],
    echo_times: Sequence[float] = ECHO_TIMES,
    states_component: bool = True,
) -> Path:
    """Write an enhanced file by the standard alone, without private elements.

    ``volumes`` names part (M, P, R, I) and index of the echo of each volume; ``states_component`` says whether
    ComplexImageComponent is there, else FrameType and ImageType name the part.
    """
    magnitudes, phases = truth(scanner.shape, echo_times)
    letters = {letter for letter, _ in volumes}
    data = header(scanner, number, "gre_qsm", SequenceName="")
    part = next(iter(letters)) if len(letters) == 1 else "MIXED"
    data.ImageType = ["ORIGINAL", "PRIMARY", part if not states_component else "VOLUME", "NONE"]
    data.PulseSequenceName, data.EchoPulseSequence = "*fl3d3r", "GRADIENT"
    if states_component:
        data.ComplexImageComponent = _COMPONENTS.get(part, "MIXED")
    data.AcquisitionDateTime, data.AcquisitionContrast = f"{scanner.date}{scanner.time}.0", "T2_STAR"
    data.BitsStored, data.HighBit = 16, 15
    for name in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RepetitionTime", "FlipAngle"):
        delattr(data, name)
    data.SharedFunctionalGroupsSequence = DicomSequence([_shared_groups()])
    frames, stored = [], []
    for order, (letter, index) in enumerate(volumes, start=1):
        signal = magnitudes[index] * np.exp(1j * phases[index])
        image, slope, intercept = {
            "M": (magnitudes[index], 1 / 4000, 0.0),
            "P": (phases[index] / np.pi * 4096, 2.0, -4096.0),
            "R": (signal.real, 1 / 16000, -1.0),
            "I": (signal.imag, 1 / 16000, -1.0),
        }[letter]
        values = np.clip(np.round((image - intercept) / slope), 0, 65535)
        for z in range(scanner.shape[2]):
            component = _COMPONENTS[letter] if states_component else ""
            frames.append(_standard_frame(letter, component, echo_times[index], z, order, slope, intercept))
            stored.append(values[:, :, z].T.astype("<u2"))
    data.PerFrameFunctionalGroupsSequence, data.NumberOfFrames = DicomSequence(frames), len(frames)
    organization = Dataset()
    organization.DimensionOrganizationUID = generate_uid(entropy_srcs=["dimensions"])
    data.DimensionOrganizationSequence = DicomSequence([organization])
    data.DimensionIndexSequence = DicomSequence(
        [_dimension(0x00209056, 0x00209111), _dimension(0x00209057, 0x00209111), _dimension(0x00189082, 0x00189114)]
    )
    data.PixelData = np.concatenate([s.ravel() for s in stored]).tobytes()
    return save(data, path, ENHANCED_MR_IMAGE)


_COMPONENTS = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}


def _shared_groups() -> Dataset:
    shared, timing, plane, measure = (Dataset() for _ in range(4))
    timing.RepetitionTime, timing.FlipAngle, timing.EchoTrainLength = 40.0, 15.0, 3
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measure.SliceThickness, measure.PixelSpacing, measure.SpacingBetweenSlices = 2.0, [1.0, 1.0], 2.0
    shared.MRTimingAndRelatedParametersSequence = DicomSequence([timing])
    shared.PlaneOrientationSequence = DicomSequence([plane])
    shared.PixelMeasuresSequence = DicomSequence([measure])
    return shared


def _standard_frame(
    letter: str, component: str, echo_time: float, z: int, order: int, slope: float, intercept: float
) -> Dataset:
    kind, echo_item, content, place, scale, frame = (Dataset() for _ in range(6))
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME" if component else letter, "NONE"]
    if component:
        kind.ComplexImageComponent = component
    echo_item.EffectiveEchoTime = echo_time
    content.StackID, content.InStackPositionNumber, content.TemporalPositionIndex = "1", z + 1, 1
    content.DimensionIndexValues = [1, z + 1, order]
    place.ImagePositionPatient = [-10.0, -20.0, float(2 * z)]
    scale.RescaleIntercept, scale.RescaleSlope, scale.RescaleType = f"{intercept:.10g}", f"{slope:.10g}", "US"
    frame.MRImageFrameTypeSequence = DicomSequence([kind])
    frame.MREchoSequence = DicomSequence([echo_item])
    frame.FrameContentSequence = DicomSequence([content])
    frame.PlanePositionSequence = DicomSequence([place])
    frame.PixelValueTransformationSequence = DicomSequence([scale])
    return frame


def _dimension(pointer: int, group: int) -> Dataset:
    item = Dataset()
    item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, group
    item.DimensionOrganizationUID = generate_uid(entropy_srcs=["dimensions"])
    return item


def _philips_frame(letter: str, te: float, echo: int, z: int, part: int, slope: float, intercept: float) -> Dataset:
    name = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}[letter]
    kind, echo_item, content, place, plane, measure, scale = (Dataset() for _ in range(7))
    kind.FrameType = ["ORIGINAL", "PRIMARY", "T2_STAR", letter]
    kind.ComplexImageComponent = name
    echo_item.EffectiveEchoTime = te
    content.StackID, content.InStackPositionNumber, content.TemporalPositionIndex = "1", z + 1, 1
    content.DimensionIndexValues = [1, z + 1, echo, part]
    place.ImagePositionPatient = [-10.0, -20.0, float(2 * z)]
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measure.SliceThickness, measure.PixelSpacing, measure.SpacingBetweenSlices = 2.0, [1.0, 1.0], 2.0
    scale.RescaleIntercept, scale.RescaleSlope, scale.RescaleType = f"{intercept:.10g}", f"{slope:.10g}", "US"
    private = Dataset()
    types = {
        "M": ["M_FFE", "M", "FFE"],
        "P": ["PHASE MAP", "P", "FFE"],
        "R": ["R_FFE", "R", "FFE"],
        "I": ["I_FFE", "I", "FFE"],
    }
    private.ImageType = ["ORIGINAL", "PRIMARY", *types[letter]]
    private.EchoTime, private.EchoNumbers, private.InstanceNumber = te, echo, 1
    private.RescaleIntercept, private.RescaleSlope = scale.RescaleIntercept, scale.RescaleSlope
    frame = Dataset()
    frame.MRImageFrameTypeSequence = DicomSequence([kind])
    frame.MREchoSequence = DicomSequence([echo_item])
    frame.FrameContentSequence = DicomSequence([content])
    frame.PlanePositionSequence = DicomSequence([place])
    frame.PlaneOrientationSequence = DicomSequence([plane])
    frame.PixelMeasuresSequence = DicomSequence([measure])
    frame.PixelValueTransformationSequence = DicomSequence([scale])
    frame.add_new(0x20050014, "LO", "Philips MR Imaging DD 005")
    frame.add_new(0x2005140F, "SQ", DicomSequence([private]))
    return frame


def siemens_coil(
    folder: Path,
    scanner: Scanner,
    number: int,
    coil: str,
    first: int = 1,
    parts: str = "M",
    echo_times: Sequence[float] = ECHO_TIMES[:1],
    turn: float = 0.0,
) -> list[Path]:
    """Write the images of one coil element, before it is combined with the others; ``turn`` (rad) is its own phase."""
    magnitudes, phases = truth(scanner.shape, echo_times)
    paths: list[Path] = []
    for letter in parts:
        for index, te in enumerate(echo_times):
            data = header(scanner, number, "gre_qsm_coils")
            data.ImageType, data.EchoTime, data.EchoNumbers = ["ORIGINAL", "PRIMARY", letter, "ND"], te, index + 1
            data.private_block(0x0051, "SIEMENS MR HEADER", create=True).add_new(0x0F, "LO", coil)
            if letter == "P":
                data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -4096, 2, "US"
            turned = np.angle(np.exp(1j * (phases[index] + turn)))
            pixels = magnitude_pixels(magnitudes[index]) if letter == "M" else siemens_phase(turned)
            stem = f"{coil}{letter}{index + 1}_"
            paths += write_slices(folder / f"{number:03d}", data, pixels, first + len(paths), stem=stem)
    return paths


def ge_field_map(
    folder: Path, scanner: Scanner = Scanner(vendor="GE MEDICAL SYSTEMS"), number: int = 7, sequence: str = "B0map"
) -> list[Path]:
    """Write a field map of GE in one series: the field in Hz, then the magnitude, told apart by their order alone."""
    (magnitude, *_), _ = truth(scanner.shape)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in scanner.shape), indexing="ij")
    paths: list[Path] = []
    for pixels in (np.round(60.0 * (x + 0.5 * y**2 - 0.7 * z)), np.round(magnitude * 4000)):
        data = header(scanner, number, "B0map", SequenceName="", ScanningSequence="RM", SequenceVariant="NONE")
        data.ImageType, data.EchoTime = ["ORIGINAL", "PRIMARY", "OTHER"], 4.608
        block = data.private_block(0x0019, "GEMS_ACQU_01", create=True)
        block.add_new(0x9C, "LO", sequence)
        block.add_new(0xE2, "DS", "-69.077667")
        data.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", scanner.shape[2])
        data.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 0)
        paths += write_slices(folder / f"{number:03d}", data, pixels.astype(np.int16), 1 + len(paths), stem="i")
    return paths


def plain_series(
    folder: Path,
    scanner: Scanner = Scanner(),
    number: int = 2,
    description: str = "t1_mprage",
    orientations: int = 1,
    **more: Any,
) -> list[Path]:
    """Write one magnitude volume; ``more`` sets header fields (None removes one)."""
    magnitudes, _ = truth(scanner.shape, (3.0,))
    values: dict[str, Any] = {
        "ProtocolName": description,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "EchoTime": 3.0,
        "EchoNumbers": 1,
    }
    data = header(scanner, number, description, **{**values, **more})
    for name in [n for n, v in more.items() if v is None]:
        delattr(data, name)
    return write_slices(folder / f"{number:03d}", data, magnitude_pixels(magnitudes[0]), orientations=orientations)


def mprage(folder: Path, scanner: Scanner = Scanner(), number: int = 2, **more: Any) -> list[Path]:
    """Write an MPRAGE."""
    values: dict[str, Any] = {
        "ScanningSequence": ["GR", "IR"],
        "SequenceVariant": ["SK", "SP", "MP"],
        "SequenceName": "*tfl3d1_16ns",
        "InversionTime": 900.0,
        "RepetitionTime": 2300.0,
        "FlipAngle": 9.0,
    }
    return plain_series(folder, scanner, number, more.pop("description", "t1_mprage"), **{**values, **more})


def later(scanner: Scanner, time: str) -> Scanner:
    """Return the same study with images acquired at another time."""
    return replace(scanner, extra={**scanner.extra, "AcquisitionTime": time, "SeriesTime": time})
