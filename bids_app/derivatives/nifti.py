"""NIfTI images as nibabel reads them: the parts that this software uses, with their types."""

from pathlib import Path
from typing import BinaryIO, Protocol, Self, cast

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Header(Protocol):
    """The header of an image."""

    endianness: str
    extensions: list[object]
    sizeof_hdr: int

    def __init__(self, binary: bytes, endianness: str, check: bool) -> None:
        """Read the header of a file; without ``check`` nothing in it is corrected."""

    def __contains__(self, field: str, /) -> bool:
        """Return whether the format has a field."""

    def __getitem__(self, field: str, /) -> Floats:
        """Return the value of a field."""

    def __setitem__(self, field: str, value: bytes, /) -> None:
        """Set a field of text."""

    def copy(self) -> Self:
        """Return a copy."""

    def get_data_dtype(self) -> np.dtype[np.generic]:
        """Return the type of the stored values."""

    def set_data_dtype(self, dtype: type[np.generic]) -> None:
        """Set the type of the stored values."""

    def set_slope_inter(self, slope: float | None, inter: float | None) -> None:
        """Set the scale of the stored values."""

    def get_qform(self) -> Floats:
        """Return the affine of the quaternion."""

    def get_sform(self) -> Floats:
        """Return the affine of the rows."""


class StoredData(Protocol):
    """The values of an image in its file."""

    offset: int
    slope: float | None
    inter: float | None

    def __array__(self, dtype: npt.DTypeLike | None = None) -> npt.NDArray[np.float64]:
        """Return the scaled values."""

    def get_unscaled(self) -> npt.NDArray[np.generic]:
        """Return the stored values."""


class StoredImage(Protocol):
    """An image whose values are still in its file."""

    shape: tuple[int, ...]
    affine: Floats
    header: Header
    dataobj: StoredData

    @classmethod
    def from_stream(cls, stream: BinaryIO) -> Self:
        """Read an image of this kind from an open file."""

    def to_bytes(self) -> bytes:
        """Return the content of a file of this image."""


def load(path: Path) -> StoredImage:
    """Open an image; its values are read when they are asked for.

    Raises
    ------
    nibabel.filebasedimages.ImageFileError
        If no format fits the file.
    """
    import nibabel

    return cast("StoredImage", nibabel.load(path))


def new(data: npt.NDArray[np.generic], affine: npt.NDArray[np.generic], header: Header | None = None) -> StoredImage:
    """Return a NIfTI-1 image of these values."""
    import nibabel

    return cast("StoredImage", nibabel.Nifti1Image(data, affine, header))
