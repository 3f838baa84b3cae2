"""Whether a NIfTI header says where the image lies: qform, sform and pixdim, compared with each other.

Susceptibility follows from the direction of the main field in the image. A header without orientation, or with two that
contradict each other, gives a wrong map without any other sign.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.affines import affine_in_mm, millimetres
from bids_app.derivatives.nifti import Header, StoredImage

Array = npt.NDArray[np.float64]

#: What is said of a header without any orientation.
NO_FORMS = "has neither qform nor sform"
#: Angle between the axes of qform and sform above which they contradict each other, degrees.
_MAX_ANGLE = 1.0
#: Deviation of two axes from a right angle above which an affine is sheared, degrees.
_MAX_SHEAR = 0.5
#: Relative difference of voxel sizes above which two headers contradict each other.
_MAX_SIZE_DIFFERENCE = 0.01
#: No MR image has smaller or larger voxels, mm: the header's unit is wrong.
_MIN_VOXEL, _MAX_VOXEL = 0.005, 50.0


@dataclass(frozen=True)
class Orientation:
    """What a header says about the image's place, in sentences without the file's name; empty: nothing."""

    unknown: str = ""  # the direction of the main field is not known: B0_dir replaces it
    broken: str = ""  # the image cannot be used
    remark: str = ""  # what the user should know


#: A header with which nothing is wrong.
KNOWN = Orientation()


def orientation_of(image: StoredImage, header: Header) -> Orientation:
    """Compare qform, sform and pixdim of a NIfTI image; ``header`` is that of the file, nothing corrected in it."""
    affine = affine_in_mm(image)
    broken = next(_broken(affine), "")
    if broken or "sform_code" not in header:
        return Orientation(broken=broken)
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], np.float64)) * millimetres(image)
    if not np.all(np.isfinite(pixdim)) or min(pixdim) <= 0:
        return Orientation(broken=f"pixdim gives voxels of {_sizes(pixdim)} mm; convert it from DICOM again")
    codes = int(header["qform_code"]), int(header["sform_code"])
    if codes == (0, 0):
        return Orientation(f"{NO_FORMS}, so the direction of the main field is unknown")
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if np.any(np.abs(sizes / pixdim - 1) > _MAX_SIZE_DIFFERENCE):
        return Orientation(
            broken=f"its affine gives voxels of {_sizes(sizes)} mm, its pixdim {_sizes(pixdim)} mm; one of them is "
            "wrong: convert it from DICOM again"
        )
    if all(codes):
        angle = _angle(header.get_qform(), header.get_sform())
        if angle > _MAX_ANGLE:
            return Orientation(
                f"its qform and sform disagree by {angle:.0f} degrees, so the direction of the main field is unknown"
            )
    return _by_default(affine, sizes)


def _by_default(affine: Array, sizes: Array) -> Orientation:
    """Recognise what programs write that do not know where an image lies."""
    if not np.array_equal(affine, np.diag([*sizes, 1.0])):
        return KNOWN
    if np.array_equal(sizes, np.ones(3)):
        return Orientation(
            "its affine is the identity, as programs write it that do not know the orientation, so the direction of "
            "the main field is unknown"
        )
    return Orientation(
        remark="its affine has neither rotation nor origin, as scripts write it; the main field is taken along the "
        "third axis: set B0_dir in the JSON sidecar if that is wrong"
    )


def _broken(affine: Array) -> Iterator[str]:
    if not np.all(np.isfinite(affine)):
        yield "its affine is not finite; convert it from DICOM again"
        return
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if min(sizes) == 0 or abs(np.linalg.det(affine[:3, :3] / np.where(sizes > 0, sizes, 1))) < 1e-6:
        yield "its affine is no orientation (singular); convert it from DICOM again"
        return
    if min(sizes) < _MIN_VOXEL or max(sizes) > _MAX_VOXEL:
        yield f"has voxels of {_sizes(sizes)} mm; correct the unit of its header (xyzt_units) or its affine"
    axes = affine[:3, :3] / sizes
    shear = np.degrees(np.arcsin(np.clip(np.abs(axes.T @ axes - np.eye(3)).max(), 0, 1)))
    if shear > _MAX_SHEAR:
        yield f"its affine is sheared by {shear:.1f} degrees; resample it to a grid with right angles"


def _angle(first: Array, second: Array) -> float:
    """Return the largest angle between the same axes of two affines, degrees."""
    a, two = (matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (first, second))
    cosines = np.clip(np.sum(a * two, axis=0), -1, 1)
    return float(np.degrees(np.arccos(cosines.min())))


def _sizes(values: Array) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
