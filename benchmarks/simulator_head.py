"""Write the phantom's head as the input of another simulator: ``python -m benchmarks.simulator_head FOLDER``.

``qsm-forward head FOLDER {bids}`` (GPL, a program of its own) reads maps of the layout of the QSM reconstruction
challenge 2.0: ``chimodel/ChiModelMIX.nii``, ``maps/M0.nii.gz``, ``R1`` and ``R2star`` beside it, and the masks
``BrainMask`` and ``SegmentedModel``. The head is the phantom's, everything else is the other program's: field, shim,
phase offset, sampling and noise. For example::

    python -m benchmarks.simulator_head head
    python -m benchmarks.simulator --command "qsm-forward head head --voxel-size 2 2 2 --B0 3 --peak-snr 100 {bids}"
"""

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_app.phantom import sampling, subjects
from bids_app.phantom.simulate import make_body
from bids_app.phantom.template import load_head

#: Field of view in mm: the head with air around it.
SIZE_MM, CORNER_MM = (200, 248, 216), (-100.0, -140.0, -100.0)
AIR_PPM = 9.4


def write_head(folder: Path, *, person: int = 0, seed: int = 1, voxel_size: float = 1.0, field_strength: float = 3.0):
    """Write susceptibility relative to air (ppm), proton density, R1, R2* (1/s), brain mask and nuclei."""
    someone = subjects.people(person + 1, seed)[person]
    head = subjects.shape_head(someone, load_head())
    tissue = subjects.tissue_table(someone, age=someone.age, field_strength=field_strength)
    body = make_body(someone, head, tissue, age=someone.age, session=0, tilt=(0.0, 0.0, 0.0))
    affine = np.diag([voxel_size] * 3 + [1.0])
    affine[:3, 3] = CORNER_MM
    properties = body.sample(affine, tuple(round(n / voxel_size) for n in SIZE_MM), voxel_size)
    signal = properties[..., sampling.M0]
    affine[:3, 3] = 0  # the other program resamples its truth as if the image began at the origin
    images = {
        # Relative to air: the other program takes 0 for what lies beyond the image.
        "chimodel/ChiModelMIX.nii": (properties[..., sampling.CHI] - AIR_PPM).astype(np.float32),
        "maps/M0.nii.gz": signal.astype(np.float32),
        "maps/R1.nii.gz": np.where(signal > 0, np.float32(0.8), np.float32(0)),
        "maps/R2star.nii.gz": properties[..., sampling.R2STAR].astype(np.float32),
        "masks/BrainMask.nii.gz": (properties[..., sampling.BRAIN] >= 0.5).astype(np.uint8),
        "masks/SegmentedModel.nii.gz": properties[..., sampling.NUCLEUS].astype(np.uint8),
    }
    for name, data in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, affine), path)


def main(argv=None):
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="where the maps are written")
    options.add_argument("--person", type=int, default=0, help="number of the simulated person")
    options.add_argument("--seed", type=int, default=1, help="other persons")
    options.add_argument("--voxel-size", type=float, default=1.0, help="mm")
    args = options.parse_args(argv)
    write_head(args.folder, person=args.person, seed=args.seed, voxel_size=args.voxel_size)


if __name__ == "__main__":
    main()
