"""Draw the picture of the README: ``python docs/picture.py demo/out docs/_static/map.png``, after ``make demo``."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np


def draw(folder: Path, target: Path) -> None:
    """Draw an axial, a coronal and a sagittal slice of the first map, with the nuclei outlined on the axial one."""
    anat = next(folder.glob("sub-*/anat"))
    image = nib.as_closest_canonical(nib.load(next(anat.glob("*_Chimap.nii.gz"))))
    labels = nib.as_closest_canonical(nib.load(next(anat.glob("*space-GRE_seg-nuclei_dseg.nii.gz"))))
    chi, dseg = np.asarray(image.dataobj, np.float32), np.asarray(labels.dataobj)
    deep = dseg > 0
    valid = chi != 0
    chi[~valid] = np.nan
    box = tuple(slice(max(0, c.min() - 4), c.max() + 5) for c in np.nonzero(valid))
    chi, dseg, deep = chi[box], dseg[box], deep[box]
    middle = [int(np.round(c.mean())) for c in np.nonzero(deep)]
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 4.0), facecolor="black", layout="constrained")
    for axis, (number, ax) in zip((2, 1, 0), enumerate(axes), strict=True):
        part, outline = (np.take(a, middle[axis] if axis else middle[0] - 6, axis).T for a in (chi, dseg))
        shown = ax.imshow(part, cmap="gray", vmin=-0.1, vmax=0.2, origin="lower", interpolation="lanczos")
        if number < 2:
            for value in np.unique(outline[outline > 0]):
                ax.contour(outline == value, [0.5], colors="#ffb000", linewidths=0.8)
            ax.text(0.02, 0.5, "R", color="white", transform=ax.transAxes, va="center")
        ax.axis("off")
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, label="susceptibility (ppm)")
    bar.ax.tick_params(colors="white")
    bar.ax.yaxis.label.set_color("white")
    for ax in axes[:2]:
        ax.invert_xaxis()
    figure.savefig(target, dpi=110, facecolor="black")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
