"""Enhanced multi-frame files split into one file per image, for what dcm2niix cannot separate by itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_app.convert.classify.series import Volume
from bids_app.convert.scan.elements import group_of, number_of
from bids_app.convert.scan.frames import each_frame

_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
#: Functional groups and the elements of theirs that a single image has at its top.
_ELEMENTS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    "MRTimingAndRelatedParametersSequence": ("RepetitionTime", "FlipAngle", "EchoTrainLength"),
}
_LETTERS = {"mag": "M", "phase": "P", "real": "R", "imag": "I"}


def single_images(files: Sequence[Path], volume: Volume, folder: Path) -> list[Path]:
    """Write the frames of one volume as single-frame files to ``folder``; returns them.

    Raises ValueError when the pixels are compressed: their frames cannot be cut out.
    """
    import pydicom

    written: list[Path] = []
    for path in files:
        data = pydicom.dcmread(path)
        if data.file_meta.TransferSyntaxUID.is_compressed:
            raise ValueError("its frames are compressed")
        size = len(data.PixelData) // int(data.NumberOfFrames)
        for index, ((part, echo_time, number), _, _) in enumerate(each_frame(data)):
            same_echo = volume.echo_time is None or (echo_time is not None and abs(echo_time - volume.echo_time) < 0.02)
            if part == volume.part and same_echo and (len(files) > 1 or number == volume.repetition):
                target = folder / f"{len(written) + 1:05d}.dcm"
                _write(data, index, size, echo_time, _LETTERS.get(part, "OTHER"), len(written) + 1, target)
                written.append(target)
    return written


def _write(data: Any, index: int, size: int, echo_time: float | None, letter: str, number: int, target: Path) -> None:
    from pydicom.dataset import FileDataset
    from pydicom.uid import generate_uid

    image = frame_header(data, index)
    image.ImageType = ["ORIGINAL", "PRIMARY", letter, "NONE"]
    image.EchoTime, image.InstanceNumber = echo_time, number
    image.ScanningSequence = image.get("ScanningSequence", "GR")
    image.MagneticFieldStrength = number_of(image, "MagneticFieldStrength")
    image.PixelData = data.PixelData[index * size : (index + 1) * size]
    image.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = _MR_IMAGE_STORAGE
    image.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    FileDataset(str(target), image, file_meta=data.file_meta, preamble=b"\0" * 128).save_as(target)


def frame_header(data: Any, index: int) -> Any:
    """Return what a single image of one frame has at its top, without pixels: position, scale and timing of the frame.

    Parameters
    ----------
    data : pydicom.Dataset
        An enhanced file.
    index : int
        Number of the frame, from 0.

    Returns
    -------
    pydicom.Dataset
    """
    from pydicom.dataset import Dataset

    frame = data.PerFrameFunctionalGroupsSequence[index]
    image = Dataset()
    for element in data:
        if element.VR != "SQ" and element.keyword not in ("PixelData", "NumberOfFrames", "ComplexImageComponent"):
            image.add(element)
    for sequence, names in _ELEMENTS.items():
        group = group_of(data, frame, sequence)
        for name in names:
            if name in group:
                setattr(image, name, group.get(name))
    return image
