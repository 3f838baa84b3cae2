"""
From DICOM files to a table
===========================

Convert a folder of DICOM files to BIDS, map the scan, and read the values of the deep grey nuclei, in one command.
"""

# %%
# The DICOM files
# ---------------
# The scan of this page is simulated. :download:`simulated_dicom.py <../../examples/simulated_dicom.py>` writes it as a
# scanner would export it: one file for each slice, magnitude and phase in two series.
import subprocess
import tempfile
from pathlib import Path

import pandas as pd
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
# Convert and map
# ---------------
# The levels ``convert`` and ``participant`` run one after the other. The regions come from a segmentation: FastSurfer
# or an atlas on the T1w image, or files that you have. Here, the atlas of the simulated head is registered to the
# gradient echo, because the scan has no T1w image.
atlas = head / "derivatives/phantom/tpl-phantom"
coarse = "--set registration.atlas=affine --set registration.resolution=4"
shell(
    f"qsm-bids-app {data} {out} convert participant --dicom-dir {dicom} "
    f"--segmentation atlas --atlas {atlas} {coarse} --skip-bids-validation"
)

# %%
# What became of every series
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
# The table of regions
# --------------------
# One row for each region; susceptibility in ppm, R2* in 1/s. The JSON file beside the table describes every column.
path = next((out / "sub-volunteer01").rglob("*_seg-*nuclei*_desc-chi_stats.tsv"))
table = pd.read_csv(path, sep="\t")
print(path.name)
print(table[["name", "hemisphere", "voxels", "chi_mean", "chi_std", "r2star_mean"]].round(3).to_string(index=False))
