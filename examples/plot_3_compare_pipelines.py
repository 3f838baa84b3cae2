"""
Compare two pipelines
=====================

Map the same scan with two presets, and see where the maps and the regional values differ.

Do this on a scan or two of your own before you choose a pipeline for a study. Then use one pipeline for everybody.
"""

# %%
# One scan, two output folders
# ----------------------------
# Each pipeline gets its own output folder. ``--preset`` chooses a set of methods, and ``--set`` changes one value.
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
    print("\n".join(done.stdout.replace(str(folder.parent), "").splitlines()[-4:]))


folder = Path(tempfile.gettempdir()) / "qsm-tutorials" / "pipelines"
head = folder.parent / "head"
shell(f"python -m bids_app.phantom {head} --subjects 1 --voxel-size 3 --no-t1w")
pipelines = {"default": "--preset default", "published methods": "--preset consensus"}
given = f"--derivatives {head}/derivatives/phantom --segmentation '*_seg-nuclei_dseg.nii.gz' --skip-bids-validation"
for name, options in pipelines.items():
    shell(f"qsm-bids-app {head} '{folder}/{name}' participant {given} {options}")

# %%
# The maps
# --------
# Both maps have the same reference, the mean of the mask. The difference is shown with the same grey scale.


def read(path: Path) -> np.ndarray:
    """Return an image with its axes to the right, the front and the top."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, np.float32)


anat = "sub-01/anat/sub-01"
maps = {name: read(folder / name / f"{anat}_Chimap.nii.gz") for name in pipelines}
masks = [read(folder / name / f"{anat}_desc-qsm_mask.nii.gz") > 0 for name in pipelines]
mask = masks[0] & masks[1]
first, second = maps
images = {**maps, f"{first} − {second}": maps[first] - maps[second]}
nuclei = read(head / "derivatives/phantom/sub-01/anat/sub-01_seg-nuclei_dseg.nii.gz") > 0
z = int(np.argmax(nuclei.sum(axis=(0, 1))))
figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), layout="constrained")
for ax, (title, image) in zip(axes, images.items(), strict=True):
    shown = ax.imshow(np.where(mask, image, np.nan)[::-1, :, z].T, cmap="gray", vmin=-0.1, vmax=0.15, origin="lower")
    ax.set_title(title)
    ax.axis("off")
figure.colorbar(shown, ax=axes, label="susceptibility (ppm)", shrink=0.8)
plt.show()

# %%
# The regions
# -----------
# Regional values often agree better than voxels do. Pipelines differ in two ways: by an offset of all values, which is
# a difference of the reference, and by a slope, which is a loss of contrast.
both = pd.DataFrame()
for name in pipelines:
    table = pd.read_csv(folder / name / f"{anat}_seg-nuclei_desc-chi_stats.tsv", sep="\t")
    both[name] = table.set_index(["name", "hemisphere"])["chi_mean"]
slope, offset = np.polyfit(both[second], both[first], 1)
print(both.round(3).to_string())
print(f"\n{first} = {slope:.2f} x {second} {offset:+.3f} ppm")

# %%
# Which one is right?
# -------------------
# On your data you cannot know. In this simulation the truth is known.
truth = read(head / "derivatives/phantom/sub-01/anat/sub-01_Chimap.nii.gz")
for name, chi in maps.items():
    error = (chi - chi[mask].mean()) - (truth - truth[mask].mean())
    print(f"{name}: error {100 * np.linalg.norm(error[mask]) / np.linalg.norm(truth[mask] - truth[mask].mean()):.0f} %")

# %%
# One simulated head at 3 mm is no evidence. The page on :doc:`validation <../validation>` compares all methods, on real
# heads as well.
