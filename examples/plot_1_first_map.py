"""
Your first map
==============

Simulate a head, map it with one command, and look at what the command writes.

You need no data of your own. With your own BIDS dataset, start at the second step.
"""

# %%
# A dataset
# ---------
# ``python -m bids_app.phantom`` simulates people with known susceptibility and writes a BIDS dataset. Voxels of 3 mm
# keep this page fast; scan with 1 mm.
import json
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np


def shell(command: str) -> None:
    """Run a command of the terminal and show what it prints."""
    done = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout.replace(str(folder.parent), ""))


folder = Path(tempfile.gettempdir()) / "qsm-tutorials" / "first-map"
data, out = folder.parent / "head", folder / "out"
shell(f"python -m bids_app.phantom {data} --subjects 1 --voxel-size 3 --no-t1w")
for path in sorted((data / "sub-01").rglob("*MEGRE*.nii.gz")):
    print(path.relative_to(data))

# %%
# What the app finds
# ------------------
# ``--dry-run`` checks the dataset and prints the plan. It computes nothing and writes nothing.
shell(f"qsm-bids-app {data} {out} participant --segmentation none --skip-bids-validation --dry-run | head -12")

# %%
# The map
# -------
# One command goes from the phase of the echoes to the maps and the report.
shell(f"qsm-bids-app {data} {out} participant --segmentation none --skip-bids-validation")

# %%
# The files
# ---------
# ``*_Chimap.nii.gz`` is **the susceptibility map**. Its sidecar names the unit and the reference.
for path in sorted(out.glob("sub-01/*/*.nii.gz")):
    print(path.relative_to(out))
sidecar = json.loads((out / "sub-01/anat/sub-01_Chimap.json").read_text())
print({key: sidecar[key] for key in ("Units", "Description") if key in sidecar})


# %%
# The map and the truth
# ---------------------
# The simulation wrote the true susceptibility as well. A map is relative to the mean of its mask, so the same mean is
# subtracted from the truth.
def read(path: Path) -> np.ndarray:
    """Return an image with its axes to the right, the front and the top."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, np.float32)


anat = out / "sub-01/anat"
chi, mask = read(anat / "sub-01_Chimap.nii.gz"), read(anat / "sub-01_desc-qsm_mask.nii.gz") > 0
truth = read(data / "derivatives/phantom/sub-01/anat/sub-01_Chimap.nii.gz")
truth -= truth[mask].mean()
z = int(np.argmax(((truth > 0.08) & mask).sum(axis=(0, 1))))
figure, axes = plt.subplots(1, 2, figsize=(8, 4.4), layout="constrained")
for ax, image, title in zip(axes, (chi, truth), ("computed", "truth"), strict=True):
    shown = ax.imshow(np.where(mask, image, np.nan)[::-1, :, z].T, cmap="gray", vmin=-0.1, vmax=0.15, origin="lower")
    ax.set_title(title)
    ax.text(0.02, 0.5, "R", transform=ax.transAxes)
    ax.axis("off")
figure.colorbar(shown, ax=axes, label="susceptibility (ppm)", shrink=0.8)
plt.show()

# %%
# Open ``out/sub-01.html`` next: it is the report. `A complete report <../sample/sub-01.html>`__ is part of this site.
# The page on :doc:`quality control <../quality>` says how to read it.
