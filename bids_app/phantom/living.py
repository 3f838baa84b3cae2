"""What makes a simulated head more like a living one, and a COSMOS reference of it."""

from dataclasses import dataclass, replace

import numpy as np

from bids_app.derivatives.names import spell
from bids_app.derivatives.products import PRODUCTS
from bids_app.phantom import sampling, subjects
from bids_app.phantom.acquisition import FLIP_ANGLE, MAGNITUDE_SCALE, Acquisition
from bids_app.phantom.contrast import with_t1_weighting
from bids_app.phantom.folder import TRUTH, Folder
from bids_app.phantom.orientations import Orientations, Reference, scan_orientations
from bids_app.phantom.simulate import AIR_PPM, Body, Scan, slabs
from bids_app.phantom.white_matter import WhiteMatter, head_fibres, periodic_head_field
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.units import ppm_to_hz

#: Space around the data in which the orientations' fields are computed, mm.
_MARGIN_MM = 24.0
#: Least signal, relative to the brain's median, that the noise of the field is computed with.
_MIN_SIGNAL = 0.15


@dataclass(frozen=True)
class Living:
    """Ingredients of a living head; each can be left out.

    Parameters
    ----------
    white_matter : WhiteMatter, optional
        Tensor and frequency of white matter.
    texture_ppm : float
        Standard deviation of fine susceptibility with the spectrum of living heads, ppm.
    t1_weighting : bool
        Whether the magnitude has the contrast of spoiled echoes.
    orientations : Orientations, optional
        Those of a COSMOS reference.
    field_noise : float
        Standard deviation of the field's noise in each of them, ppm.
    """

    white_matter: WhiteMatter | None = None
    texture_ppm: float = 0.0
    t1_weighting: bool = False
    orientations: Orientations | None = None
    field_noise: float = 0.0


def as_living(body: Body, person: subjects.Person, living: Living, scan: Acquisition) -> Body:
    """Return the body with fibres and the contrast of spoiled echoes, as far as ``living`` has them."""
    if living.white_matter is not None:
        model = living.white_matter
        body = replace(body, white_matter=model, fibres=head_fibres(person.random(10), model.fine_fibres))
    if living.t1_weighting:
        table = with_t1_weighting(body.tissue, scan.field_strength, FLIP_ANGLE, scan.repetition_time)
        body = replace(body, tissue=table)
    return body


def cosmos_reference(body: Body, scan: Scan, living: Living, random: np.random.Generator) -> Reference:
    """Return the local field of the scan's own orientation and COSMOS of several, on the scan's grid, in ppm.

    The fields are those of the whole head in its box, on the grid of the data.

    Raises
    ------
    ValueError
        If ``living`` has no orientations.
    """
    if living.orientations is None:
        raise ValueError("a COSMOS reference needs orientations, and there are none")
    shape, affine = scan.truth.mask.shape, scan.affine.copy()
    before = [round(_MARGIN_MM / size) for size in np.linalg.norm(affine[:3, :3], axis=0)]
    affine[:3, 3] -= affine[:3, :3] @ np.array(before)
    grid = Grid.from_affine(tuple(n + 2 * b for n, b in zip(shape, before, strict=True)), affine)
    around = [(b, b) for b in before]
    chi, white = (np.empty(grid.shape, np.float32) for _ in range(2))
    for rows, properties in slabs(body, grid, affine, 0, grid.shape[0]):
        chi[rows] = properties[..., sampling.CHI] - np.float32(AIR_PPM)
        white[rows] = properties[..., sampling.MYELINATED] * (properties[..., sampling.BRAIN] >= 0.5)
    spectrum, vectors, model = rfftn(chi), body.fibres_on(affine, grid.shape), body.white_matter

    def field_of(turned: Grid) -> FloatArray:
        if vectors is None or model is None:
            return irfftn(dipole_kernel(turned) * spectrum, turned.shape)
        return periodic_head_field(spectrum, vectors, white, turned, model)

    signal = np.abs(scan.signal[0])
    level = float(np.median(signal[scan.truth.mask]))
    noise = np.pad(living.field_noise * level / np.maximum(signal, _MIN_SIGNAL * level), around).astype(np.float32)
    mask = np.pad(scan.truth.mask, around)
    reference = scan_orientations(field_of, mask, grid, living.orientations, noise, random)
    inner = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    return Reference(reference.local_field[inner], reference.cosmos[inner], reference.mask[inner])


def write_reference(
    folder: Folder, names: dict[str, str], reference: Reference, scan: Scan, field_strength: float
) -> None:
    """Write the local field (Hz), the COSMOS map (ppm) and their mask below ``derivatives/phantom``."""
    place = TRUTH / f"sub-{names['sub']}" / (f"ses-{names['ses']}" if "ses" in names else "")
    images = {
        "local_field": (
            place / "fmap" / spell({**names, "desc": "vsharp"}, "fieldmap", ".nii.gz"),
            ppm_to_hz(reference.local_field, field_strength),
            {"Description": "Local field after V-SHARP, with what it leaves of the background", "Units": "Hz"},
        ),
        "local_field_magnitude": (
            place / "fmap" / spell({**names, "desc": "vsharp"}, "magnitude", ".nii.gz"),
            np.abs(scan.signal[0]) * MAGNITUDE_SCALE,
            {"Description": "Magnitude of the first echo", "Units": "arbitrary"},
        ),
        "chimap": (
            place / "anat" / spell({**names, "desc": "cosmos"}, "Chimap", ".nii.gz"),
            reference.cosmos,
            {"Description": "COSMOS of several orientations, misplaced and with noise", "Units": "ppm"},
        ),
        "mask_brain": (
            place / "anat" / spell({**names, "desc": "cosmos"}, "mask", ".nii.gz"),
            reference.mask,
            {"Description": "Where V-SHARP gives a local field", "Type": "Brain"},
        ),
    }
    for key, (path, data, facts) in images.items():
        sidecar: dict[str, object] = dict(facts)
        sidecar |= {} if key == "mask_brain" else {"SkullStripped": not key.endswith("magnitude")}
        folder.image(path, data, scan.affine, PRODUCTS[key].dtype, sidecar)
