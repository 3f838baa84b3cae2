"""Small BIDS datasets whose images hold a few voxels."""

import json

import nibabel as nib
import numpy as np
import pytest

#: Voxels of 1 mm with an origin, as a scanner gives them.
PLACE = np.array([[1.0, 0, 0, -20], [0, 1, 0, -30], [0, 0, 1, -10], [0, 0, 0, 1]])


class Dataset:
    def __init__(self, root):
        self.root = root
        root.mkdir()
        (root / "dataset_description.json").write_text(json.dumps({"Name": "t", "BIDSVersion": "1.10.0"}))
        (root / "MEGRE.json").write_text(json.dumps({"MagneticFieldStrength": 3}))

    def image(self, name, data=None, affine=None, **sidecar):
        """Write an image by its full name without extension; its folder follows from the entities."""
        entities = dict(part.split("-") for part in name.split("_")[:-1])
        folder = self.root / f"sub-{entities['sub']}"
        folder = (folder / f"ses-{entities['ses']}" if "ses" in entities else folder) / "anat"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.nii.gz"
        if data is None:
            data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
        nib.save(nib.Nifti1Image(data, PLACE if affine is None else affine), path)
        if sidecar:
            (folder / f"{name}.json").write_text(json.dumps(sidecar))
        return path

    def megre(self, prefix, echoes=2, parts=("mag", "phase"), **sidecar):
        for echo in range(1, echoes + 1):
            for part in parts:
                self.image(f"{prefix}_echo-{echo}_part-{part}_MEGRE", EchoTime=0.005 * echo, **sidecar)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path / "bids")
