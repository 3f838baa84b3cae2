"""
From phase to susceptibility, stage by stage
============================================

Simulate the phase and magnitude of three echoes, and run the stages of the pipeline one after the other.
"""

# %%
# Phase and magnitude
# -------------------
# A head with a ball of 0.1 ppm, and a strong source outside it: the background.
import matplotlib.pyplot as plt
import numpy as np

from bids_app import qsm
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.units import ppm_to_hz

grid, times, tesla = qsm.Grid((64, 64, 64), voxel_size=(2.0, 2.0, 2.0)), (0.004, 0.010, 0.016), 3.0
x, y, z = np.meshgrid(*[np.linspace(-1, 1, 64)] * 3, indexing="ij")
head = x**2 + y**2 + z**2 < 0.7
true = np.where((x - 0.3) ** 2 + y**2 + z**2 < 0.05, 0.1, 0.0).astype(np.float32)
outside = np.where(x**2 + (y - 0.95) ** 2 + (z + 0.5) ** 2 < 0.03, 9.0, 0.0).astype(np.float32)
hz = ppm_to_hz(forward_field(true + outside, grid), tesla)
rng = np.random.default_rng(0)
signal = np.stack([head * np.exp((2j * np.pi * hz - 20) * t) for t in times])
signal = signal + 0.01 * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
phase, magnitude = np.angle(signal), np.abs(signal)

# %%
# The stages
# ----------
# Each stage is one function and returns a small result. Options name the methods.
field = qsm.total_field(phase, magnitude, times, grid)
masks = qsm.make_masks(field.sd, grid, quality=field.quality, magnitude=field.magnitude)
background = qsm.BackgroundChoices(method="lbv", boundary_sources="keep")
local = qsm.local_field(field.ppm(tesla), masks.brain, grid, sd=field.sd, residual=field.residual, options=background)
result = qsm.susceptibility(local, grid, magnitude=field.magnitude, options=qsm.InversionChoices(method="rts"))
chi, zero = qsm.reference(result.chi, result.mask)

# %%
# What each stage gives
# ---------------------
images = {
    "phase of the last echo (rad)": phase[-1],
    "total field (Hz)": field.total,
    "local field (ppm)": local.field,
    "susceptibility (ppm)": chi,
}
figure, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
for ax, (name, image) in zip(axes, images.items(), strict=True):
    shown = ax.imshow(np.where(masks.brain, image, np.nan)[:, :, 32].T, cmap="gray", origin="lower")
    ax.set_title(name)
    ax.axis("off")
    figure.colorbar(shown, ax=ax, shrink=0.8)
plt.show()

# %%
# All stages in one call
# ----------------------
# A preset's name chooses all methods. The command of the app gives the same map, bit for bit.
whole = qsm.reconstruct(phase, magnitude, times, grid, tesla, preset="fast")
print(whole.methods)
