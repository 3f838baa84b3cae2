"""
From DICOM files to a table
===========================

Convert a folder of DICOM files to BIDS, map the scan, and read the values of the deep grey nuclei.
"""

# %%
# The DICOM files
# ---------------
# The scan of this page is simulated. :download:`simulated_dicom.py <../../examples/simulated_dicom.py>` writes it as a
# scanner would export it: one file for each slice, magnitude and phase in two series.
import shutil
import subprocess
import tempfile
from pathlib import Path

import nibabel as nib
import pandas as pd
from nibabel.processing import resample_from_to
from simulated_dicom import write_dicom


def shell(command: str) -> None:
    """Run a command of the terminal and show what it prints."""
    done = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout.replace(str(folder.parent), ""))


folder = Path(tempfile.gettempdir()) / "qsm-tutorials" / "dicom"
head, dicom, data, out = folder.parent / "head", folder / "dicom", folder / "data", folder / "out"
shell(f"python -m bids_app.phantom {head} --subjects 1 --voxel-size 3 --no-t1w")
print(write_dicom(head, "01", dicom), "DICOM files")

# %%
# Look before you convert
# -----------------------
# With ``--dry-run`` the app reads the headers and prints the name that every series gets. Nothing is written.
shell(f"qsm-bids-app {data} {out} convert --dicom-dir {dicom} --dry-run")

# %%
# Convert
# -------
shell(f"qsm-bids-app {data} {out} convert --dicom-dir {dicom}")

# %%
# The result for every series
# ---------------------------
report = pd.read_csv(out / "conversion_report.tsv", sep="\t")
print(report.dropna(axis="columns", how="all").to_string(index=False, max_colwidth=40))

# %%
# The dataset
# -----------
# The patient's name is in no file.
for path in sorted(data.rglob("sub-*/**/*.*")):
    print(path.relative_to(data))

# %%
# Map and measure
# ---------------
# The regions come from a segmentation: ``--segmentation fastsurfer`` or ``--segmentation atlas``, which take minutes,
# or files that you have. This page uses the true labels of the simulated head, on the voxels of the converted image.
#
# With FastSurfer or an atlas, one command does all of this page: ``qsm-bids-app data out convert participant
# --dicom-dir dicom``.
name = "sub-volunteer01"
image = nib.load(next(data.glob("sub-*/anat/*_echo-1_part-mag_MEGRE.nii.gz")))
labels = nib.load(head / "derivatives/phantom/sub-01/anat/sub-01_seg-nuclei_dseg.nii.gz")
mine = folder / "segmentations" / name / "anat"
mine.mkdir(parents=True, exist_ok=True)
nib.save(resample_from_to(labels, image, order=0), mine / f"{name}_seg-nuclei_dseg.nii.gz")
shutil.copy(head / "derivatives/phantom/seg-nuclei_dseg.tsv", mine / f"{name}_seg-nuclei_dseg.tsv")
shutil.copy(head / "derivatives/phantom/dataset_description.json", folder / "segmentations")
shell(
    f"qsm-bids-app {data} {out} participant --derivatives {folder}/segmentations "
    "--segmentation '*_seg-nuclei_dseg.nii.gz' --skip-bids-validation"
)

# %%
# The table of regions
# --------------------
# One row for each region; susceptibility in ppm, R2* in 1/s. The JSON file of the table describes every column.
path = next((out / "sub-volunteer01").rglob("*_seg-*nuclei*_desc-chi_stats.tsv"))
table = pd.read_csv(path, sep="\t")
print(path.name)
print(table[["name", "hemisphere", "voxels", "chi_mean", "chi_std", "r2star_mean"]].round(3).to_string(index=False))
