"""
Your own mask and segmentation
==============================

Use a brain mask and a segmentation of lesions that you made with other software.
"""

# %%
# A scan
# ------
import json
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd


def shell(command: str) -> None:
    """Run a command of the terminal and show the end of what it prints."""
    done = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print("\n".join(done.stdout.replace(str(folder.parent), "").splitlines()[-8:]))


folder = Path(tempfile.gettempdir()) / "qsm-tutorials" / "own-mask"
data, out, mine = folder.parent / "head", folder / "out", folder / "mine"
shell(f"python -m bids_app.phantom {data} --subjects 1 --voxel-size 3 --no-t1w")

# %%
# A derivative dataset of your own
# --------------------------------
# Put your files into a derivative dataset: a folder with a ``dataset_description.json``, and the images in the
# same tree as the scan, named by BIDS. They need the voxels of the gradient echo; a segmentation may have those of
# the T1w image instead.
#
# * ``*_desc-brain_mask.nii.gz`` replaces the mask that the app computes.
# * ``*_dseg.nii.gz`` holds labels, and the table ``*_dseg.tsv`` names them.
mask_image = nib.load(data / "derivatives/phantom/sub-01/anat/sub-01_desc-brain_mask.nii.gz")
mask = np.asarray(mask_image.dataobj) > 0
place = np.argwhere(mask).mean(axis=0) + np.array([8, 4, 3])
distance = np.linalg.norm(np.stack(np.indices(mask.shape), -1) - place, axis=-1)
lesions = ((distance < 2.5) & mask).astype(np.uint8)

anat = mine / "sub-01" / "anat"
anat.mkdir(parents=True, exist_ok=True)
(mine / "dataset_description.json").write_text(
    json.dumps({"Name": "Masks and lesions by hand", "BIDSVersion": "1.10.0", "DatasetType": "derivative"})
)
nib.save(nib.Nifti1Image(mask.astype(np.uint8), mask_image.affine), anat / "sub-01_desc-brain_mask.nii.gz")
nib.save(nib.Nifti1Image(lesions, mask_image.affine), anat / "sub-01_seg-lesions_dseg.nii.gz")
(anat / "sub-01_seg-lesions_dseg.tsv").write_text("index\tname\n1\tlesion\n")

# %%
# Map and measure
# ---------------
# ``--derivatives`` names the dataset, and ``--segmentation`` the pattern of the files in it.
shell(
    f"qsm-bids-app {data} {out} participant --derivatives {mine} --segmentation '*_seg-lesions_dseg.nii.gz' "
    "--skip-bids-validation"
)
table = pd.read_csv(next(out.rglob("*_seg-lesions_desc-chi_stats.tsv")), sep="\t")
print(table[["name", "voxels", "volume_mm3", "chi_mean", "chi_std"]].round(3).to_string(index=False))

# %%
# Look at it
# ----------
# The log says that your mask was used; the report shows its outline.


def read(path: Path) -> np.ndarray:
    """Return an image with its axes to the right, the front and the top."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, np.float32)


chi = read(out / "sub-01/anat/sub-01_Chimap.nii.gz")
label = read(anat / "sub-01_seg-lesions_dseg.nii.gz")
brain = read(anat / "sub-01_desc-brain_mask.nii.gz")
z = int(np.argmax(label.sum(axis=(0, 1))))
figure, ax = plt.subplots(figsize=(4.6, 5), layout="constrained")
shown = ax.imshow(chi[::-1, :, z].T, cmap="gray", vmin=-0.1, vmax=0.15, origin="lower")
ax.contour(brain[::-1, :, z].T, [0.5], colors="tab:blue")
ax.contour(label[::-1, :, z].T, [0.5], colors="tab:orange")
ax.axis("off")
figure.colorbar(shown, label="susceptibility (ppm)", shrink=0.8)
plt.show()

# %%
# Further segmentations, in addition to FastSurfer or an atlas, are added with ``--extra-dseg PATTERN``.
