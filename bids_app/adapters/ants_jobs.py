"""What runs in ANTs' own process: ``python -m bids_app.adapters.ants_jobs JOB.json`` (see ``ants.run``)."""

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from bids_app.adapters import ants_import

#: What lies so far (mm) from every region takes no part in SyN.
_MARGIN_MM = 12.0
#: Distance of the control points of N4's first fit stays at ANTs' default; the fit is made to voxels of this size (mm),
#: and to so many along each axis at least.
_N4_VOXEL_MM, _N4_VOXELS = 8.0, 12
#: The linear stages estimate the mutual information from about so many voxels, and from a quarter of all at most.
#: More is slower and no better.
_SAMPLED_VOXELS = 100_000
#: Radius of the local correlation in voxels, bins of the mutual information. A radius of 1 takes half the time of 2
#: and follows small structures sooner.
_SAMPLING = {"CC": 1, "mattes": 32}
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
    """Correct the bias field, which is so smooth that it is fitted to every so many voxels and interpolated."""
    import ants
    import numpy as np

    source = _image(image)
    sizes = zip(source.spacing, source.shape, strict=True)
    steps = [max(1, min(round(_N4_VOXEL_MM / spacing), size // _N4_VOXELS)) for spacing, size in sizes]
    first = [min(step // 2, (size - 1) // 2) for step, size in zip(steps, source.shape, strict=True)]
    coarse = tuple(slice(start, None, step) for start, step in zip(first, steps, strict=True))
    spacing = [s * step for s, step in zip(source.spacing, steps, strict=True)]
    few, inside = (
        ants.from_numpy(np.ascontiguousarray(values.numpy()[coarse]), spacing=spacing)
        for values in (source, _image(mask))
    )
    field = ants.n4_bias_field_correction(
        few, mask=inside, shrink_factor=1, convergence={"iters": [50, 50, 30], "tol": 1e-4}, return_bias_field=True
    )
    logarithm = np.log(np.maximum(field.numpy(), np.finfo(np.float32).tiny))
    for axis, size in enumerate(source.shape):
        at = (np.arange(size, dtype=np.float32) - first[axis]) / np.float32(steps[axis])
        logarithm = _interpolated(logarithm, axis, at)
    ants.image_write(source.new_image_like(source.numpy() / np.exp(logarithm)), out)
    return {"steps": steps}


def _interpolated(values: Any, axis: int, at: Any) -> Any:
    """Interpolate linearly along an axis; beyond its ends the outermost values hold."""
    import numpy as np

    last = values.shape[axis] - 1
    at = np.clip(at, 0, last)
    low = np.minimum(at.astype(np.intp), max(last - 1, 0))
    weight = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
    return values.take(low, axis) * (1 - weight) + values.take(np.minimum(low + 1, last), axis) * weight


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
            aff_random_sampling_rate=min(0.25, _SAMPLED_VOXELS / math.prod(a.shape)),
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
    pairs = [
        ("CC", _at(_image(x), resolution), _at(_image(y), resolution), weight, _SAMPLING["CC"])
        for x, y, weight in extra
    ]
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
