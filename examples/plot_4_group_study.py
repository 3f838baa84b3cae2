"""
A study with statistics
=======================

Map ten simulated people, five of them patients, and test whether their nuclei differ.
"""

# %%
# The study
# ---------
# The simulation plants 0.04 ppm more susceptibility in the putamen and the pallidum of the patients. Susceptibility
# grows with age, as in living people. Voxels of 4 mm keep this page fast.
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd


def shell(command: str) -> None:
    """Run a command of the terminal and show the end of what it prints."""
    done = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print("\n".join(done.stdout.replace(str(folder), "").splitlines()[-8:]))


folder = Path(tempfile.gettempdir()) / "qsm-tutorials" / "study"
data, out = folder / "data", folder / "out"
scan = "--voxel-size 4 --snr 100 --echo-times 0.004 0.009 0.014 0.019 --oversampling 1 --no-t1w"
shell(f"python -m bids_app.phantom {data} --subjects 10 {scan}")
participants = pd.read_csv(data / "participants.tsv", sep="\t")
print(participants.head().to_string(index=False))

# %%
# Maps of all participants
# ------------------------
# The segmentations come with the simulation. In your study, use ``--segmentation fastsurfer`` or an atlas.
given = f"--derivatives {data}/derivatives/phantom --segmentation '*_seg-nuclei_dseg.nii.gz' --skip-bids-validation"
shell(f"qsm-bids-app {data} {out} participant {given}")

# %%
# Tables and a model
# ------------------
# ``--model`` names the columns of ``participants.tsv``. Plan the model before you look at the data, and have many more
# people than coefficients. ``--template none`` leaves out the template of the study, which takes longer.
shell(f"qsm-bids-app {data} {out} group --template none --model 'chi ~ age + group' --skip-bids-validation")
for path in sorted(out.glob("group_*.[tc]sv")):
    print(path.name)

# %%
# The result
# ----------
# One row for each region and term: estimate, 95 % confidence interval, t, p, and p corrected for the number of regions.
model = pd.read_csv(next(out.glob("group_seg-*_desc-model_stats.tsv")), sep="\t")
effect = model[model["term"].str.contains("group")]
columns = ["name", "hemisphere", "estimate", "ci_low", "ci_high", "t", "df", "p", "p_fdr"]
print(effect[columns].round(3).to_string(index=False))

# %%
# The putamen and the pallidum differ, as planted. Their estimates are below 0.04 ppm: voxels of 4 mm mix each nucleus
# with its surroundings. A region with a small p value that is not one of these two is a false positive. With ten
# people and fourteen regions, expect such surprises.

# %%
# Plot what you test
# ------------------
# A table of p values hides outliers. Plot the values of all people as well.
long = pd.read_csv(next(out.glob("group_seg-*_desc-chi_stats.tsv")), sep="\t")
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharey=True)
for ax, name in zip(axes, ("caudate", "putamen", "pallidum"), strict=True):
    region = long[long["name"].str.contains(name)].groupby(["participant_id", "group", "age"])["chi_mean"].mean()
    for group, marker in (("control", "o"), ("patient", "^")):
        values = region.xs(group, level="group").reset_index()
        ax.plot(values["age"], values["chi_mean"], marker, label=group)
    ax.set_title(name)
    ax.set_xlabel("age (years)")
axes[0].set_ylabel("susceptibility (ppm)")
axes[0].legend()
plt.show()

# %%
# ``group.html`` shows the cohort, quality control, these tables and figures.
# `The report of this study <../sample/group.html>`__ and `the report of a participant <../sample/sub-01.html>`__ are
# part of this site.
