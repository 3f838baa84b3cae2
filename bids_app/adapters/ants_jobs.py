"""What runs in ANTs' own process: ``python -m bids_app.adapters.ants_jobs JOB.json`` (see ``ants.run``)."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from bids_app.adapters import ants_import

#: What lies so far (mm) from every region takes no part in SyN.
_MARGIN_MM = 12.0
#: Distance of the control points of N4's first fit stays at ANTs' default; the fit itself is made on such voxels, mm.
_N4_VOXEL_MM = 4.0
#: Radius of the local correlation in voxels, bins of the mutual information.
_SAMPLING = {"CC": 2, "mattes": 32}
_IDENTITY = """#Insight Transform File V1.0
#Transform 0
Transform: AffineTransform_double_3_3
Parameters: 1 0 0 0 1 0 0 0 1 0 0 0
FixedParameters: 0 0 0
"""


def _image(path: str) -> Any:
    import ants

    return ants.image_read(path, pixeltype="float")


def _at(image: Any, resolution: float) -> Any:
    """Return the image on voxels of ``resolution`` mm, smoothed before it gets coarser."""
    import ants

    if max(abs(s - resolution) for s in image.spacing) < 0.05 * resolution:
        return image
    ratio = max(resolution / s for s in image.spacing)
    if ratio > 1.2:
        sigma = [0.4 * max(resolution - s, 0.0) for s in image.spacing]
        image = ants.smooth_image(image, sigma, sigma_in_physical_coordinates=True)
    return ants.resample_image(image, (resolution,) * 3, use_voxels=False, interp_type=0)


def n4(image: str, mask: str, out: str) -> dict[str, object]:
    """Correct the bias field."""
    import ants

    source, inside = _image(image), _image(mask)
    shrink = max(1, round(_N4_VOXEL_MM / max(source.spacing)))
    corrected = ants.n4_bias_field_correction(
        source, mask=inside, shrink_factor=shrink, convergence={"iters": [50, 50, 30], "tol": 1e-4}
    )
    ants.image_write(corrected, out)
    return {"shrink": shrink}


def linear(fixed: str, moving: str, out: str, kind: str, resolution: float, start: str, seed: int) -> dict[str, object]:
    """Find a linear transform: of one kind, or of several in turn (``rigid+affine``)."""
    import ants

    ants.config.set_ants_deterministic(False, seed)
    a, b = _at(_image(fixed), resolution), _at(_image(moving), resolution)
    prefix = str(Path(out).with_name("linear_"))
    starts: dict[str, dict[str, object]] = {"headers": {"initial_transform": "Identity"}, "centres": {}}
    initial = starts.get(start, {"initial_transform": start})
    for stage in kind.split("+"):
        registered = ants.registration(
            a,
            b,
            type_of_transform={"rigid": "Rigid", "affine": "Affine"}[stage],
            outprefix=prefix,
            aff_metric="mattes",
            aff_random_sampling_rate=0.25,
            **initial,
        )
        _one_transform(registered["fwdtransforms"], out)
        initial = {"initial_transform": out}
    return {}


def _one_transform(paths: list[str], out: str) -> None:
    import ants

    linear_ones = [ants.read_transform(path) for path in paths]
    whole = linear_ones[0] if len(linear_ones) == 1 else ants.compose_ants_transforms(linear_ones)
    ants.write_transform(whole, out)


def syn(
    fixed: str,
    moving: str,
    initial: str,
    out: str,
    resolution: float,
    iterations: list[int],
    metric: str,
    seed: int,
    extra: list[Any],
    region: list[str],
) -> dict[str, object]:
    """Find a deformation after a linear transform, in the box around ``region`` (images on the moving grid)."""
    import ants

    ants.config.set_ants_deterministic(False, seed)
    a, b = _at(_image(fixed), resolution), _at(_image(moving), resolution)
    prefix = str(Path(out).with_name("syn_"))
    pairs = [("CC", _at(_image(x), resolution), _at(_image(y), resolution), weight, 2) for x, y, weight in extra]
    whole = a
    if region:
        a = _box_of(a, region, initial)
    registered = ants.registration(
        a,
        b,
        type_of_transform="SyNOnly",
        initial_transform=initial,
        outprefix=prefix,
        syn_metric=metric,
        syn_sampling=_SAMPLING[metric],
        reg_iterations=tuple(iterations),
        grad_step=0.2,
        multivariate_extras=pairs or None,
    )
    # One displacement field for all of it. HDF5, ITK's other form of a composite, holds times: no two are the same.
    # Outside the box SyN's field is nothing, and the linear transform alone holds.
    shutil.move(ants.apply_transforms(whole, b, registered["fwdtransforms"], compose=prefix), out)
    for rest in Path(out).parent.glob("syn_*"):
        rest.unlink()
    return {}


def _box_of(image: Any, region: list[str], initial: str) -> Any:
    """Return the part of an image around what a linear transform brings of ``region`` to it."""
    import ants
    import numpy as np

    inside = np.zeros(image.shape, bool)
    for path in region:
        inside |= ants.apply_transforms(image, _image(path), [initial], interpolator="nearestNeighbor").numpy() > 0
    if not inside.any():
        return image
    low, high = [], []
    for axis, spacing in enumerate(image.spacing):
        line = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = round(_MARGIN_MM / spacing)
        low.append(max(0, int(line[0]) - margin))
        high.append(min(image.shape[axis], int(line[-1]) + margin + 1))
    return ants.crop_indices(image, low, high)


def apply(fixed: str, moving: str, transforms: list[str], out: str, labels: bool) -> dict[str, object]:
    """Resample once through all transforms."""
    import ants

    target, source = _image(fixed), _image(moving)
    chain = transforms
    if not chain:  # the headers alone say where the images lie
        same = Path(out).with_name("identity.txt")
        same.write_text(_IDENTITY)
        chain = [str(same)]
    method = "genericLabel" if labels else "linear"
    ants.image_write(ants.apply_transforms(target, source, transformlist=chain, interpolator=method), out)
    return {}


JOBS = {function.__name__: function for function in (n4, linear, syn, apply)}


def main(order: str, whole: str = "") -> None:
    """Run the job of an order file and write its answer; ``whole``: with everything that antspyx imports."""
    content = json.loads(Path(order).read_text())
    try:
        if not whole:
            ants_import.import_light()
        answer = JOBS[content["job"]](**content["arguments"])
    except ants_import.LeftOutError:
        os.execv(sys.executable, [sys.executable, "-m", "bids_app.adapters.ants_jobs", order, "whole"])
    Path(content["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
