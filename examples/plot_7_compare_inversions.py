"""
Compare inversions on a known truth
===================================

Make the field of a simulated object, invert it with several methods, and compare the maps with the truth.
"""

# %%
# A truth with a known susceptibility
# -----------------------------------
# Three balls in a larger one, in parts per million. The grid has voxels of 1 mm, and the main field is oblique.
import matplotlib.pyplot as plt
import numpy as np

from bids_app import qsm
from bids_app.qsm.operators.dipole import forward_field

grid = qsm.Grid((56, 56, 56), voxel_size=(1.0, 1.0, 1.0), b0_dir=(0.0, 0.3, 1.0))
x, y, z = np.meshgrid(*[np.arange(56) - 28.0] * 3, indexing="ij")
mask = x**2 + y**2 + z**2 < 24**2
chi = np.zeros(grid.shape, np.float32)
for centre, radius, value in (((-8, 0, 0), 6, 0.1), ((8, 4, 0), 4, 0.2), ((0, -11, 2), 4, -0.1)):
    inside = sum((a - c) ** 2 for a, c in zip((x, y, z), centre, strict=True)) < radius**2
    chi[inside] = value

# %%
# Its field, with noise
# ---------------------
rng = np.random.default_rng(0)
field = forward_field(chi, grid) + rng.normal(0, 0.002, grid.shape).astype(np.float32)

# %%
# Invert
# ------
# Every method is called in the same way; a registry gives it by its name. All run with their default parameters. A
# network of your own (``onnx``) is left out, since it needs a model.
methods = {name: method for name, method in sorted(qsm.INVERSIONS.items()) if "model" not in method.needs}
maps = {name: method(field, mask, grid) for name, method in methods.items()}

columns = 4
figure, axes = plt.subplots(-(-(len(maps) + 1) // columns), columns, figsize=(11, 12), layout="constrained")
for ax in axes.flat:
    ax.axis("off")
for ax, (name, image) in zip(axes.flat, {"truth": chi, **maps}.items(), strict=False):
    shown = ax.imshow(np.where(mask, image, np.nan)[:, :, 28].T, cmap="gray", vmin=-0.1, vmax=0.2, origin="lower")
    error = np.linalg.norm((image - image[mask].mean() - chi + chi[mask].mean())[mask]) / np.linalg.norm(chi[mask])
    ax.set_title(name if name == "truth" else f"{name}: {100 * error:.0f} %")
figure.colorbar(shown, ax=axes, label="susceptibility (ppm)", shrink=0.6)
plt.show()

# %%
# The number is the error relative to the truth, after both have lost their mean. A simple object rewards methods with
# strong priors: the page on :doc:`validation <../validation>` has real heads.
