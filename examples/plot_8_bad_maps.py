"""
Good and bad maps
=================

Spoil a good scan in seven ways, and see what the map looks like and what quality control says.
"""

# %%
# A good scan, and what goes wrong
# --------------------------------
# The scan is simulated. Each function gets the complex signal of all echoes and returns what a bad acquisition or a bad
# export makes of it.
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from scipy import ndimage

folder = Path(tempfile.gettempdir()) / "qsm-tutorials" / "bad-maps"
head, data, out, masks = folder.parent / "head", folder / "data", folder / "out", folder / "masks"
command = f"python -m bids_app.phantom {head} --subjects 1 --voxel-size 3 --no-t1w"
done = subprocess.run(command, shell=True, check=True, capture_output=True)
random = np.random.default_rng(0)


def motion(signal):
    """Take the outer half of the phase-encoding lines after the head has moved by 3 mm and nodded by 2 degrees."""
    moved = np.empty_like(signal)
    for echo, image in enumerate(signal):
        moved[echo] = ndimage.shift(ndimage.rotate(image, 2, axes=(1, 2), reshape=False, order=1), (0, 1, 0), order=1)
    first, second = (np.fft.fft(image, axis=2) for image in (signal, moved))
    outer = np.abs(np.fft.fftfreq(signal.shape[2])) > 0.25
    first[:, :, outer] = second[:, :, outer]
    return np.fft.ifft(first, axis=2)


def opposite_sign(signal):
    """Store the phase with the opposite sign."""
    return signal.conj()


def low_snr(signal):
    """Add noise: the SNR of the first echo falls to 5."""
    noise = np.median(np.abs(signal[0][np.abs(signal[0]) > 500])) / 5
    return signal + noise * (random.normal(size=signal.shape) + 1j * random.normal(size=signal.shape))


def interpolated(signal):
    """Interpolate the phase image, not the complex image, by half a voxel: wraps are smeared."""
    phase = ndimage.shift(np.angle(signal), (0, 0.5, 0, 0), order=1)
    return np.abs(signal) * np.exp(1j * phase)


def high_pass(signal):
    """Filter the phase as for SWI."""
    low = ndimage.gaussian_filter(signal.real, (0, 4, 4, 4)) + 1j * ndimage.gaussian_filter(signal.imag, (0, 4, 4, 4))
    return signal * np.exp(-1j * np.angle(low))


cases = {
    "good": lambda signal: signal,
    "motion": motion,
    "opposite sign": opposite_sign,
    "low SNR": low_snr,
    "interpolated phase": interpolated,
    "filtered phase": high_pass,
    "wrong echo times": lambda signal: signal,
    "mask with air and bone": lambda signal: signal,
}

# %%
# A participant for each case
# ---------------------------
anat = head / "sub-01" / "anat"
echoes = range(1, 5)
stems = [f"{anat}/sub-01_echo-{echo}" for echo in echoes]
magnitude, phase = (
    np.stack([nib.load(f"{stem}_part-{part}_MEGRE.nii.gz").get_fdata() for stem in stems]) for part in ("mag", "phase")
)
brain = nib.load(head / "derivatives/phantom/sub-01/anat/sub-01_desc-brain_mask.nii.gz")
affine, signal = brain.affine, magnitude * np.exp(1j * np.pi * phase / 4096)
times = [json.loads(Path(f"{stem}_part-phase_MEGRE.json").read_text())["EchoTime"] for stem in stems]
labels = {name: name.title().replace(" ", "") for name in cases}

for name, spoil in cases.items():
    label, spoiled = labels[name], spoil(signal)
    target = data / f"sub-{label}" / "anat"
    target.mkdir(parents=True, exist_ok=True)
    for echo, image, time in zip(echoes, spoiled, times, strict=True):
        time = time / 2 if name == "wrong echo times" else time
        for part, values in (("mag", np.abs(image)), ("phase", np.angle(image) / np.pi * 4095)):
            stem = target / f"sub-{label}_echo-{echo}_part-{part}_MEGRE"
            nib.save(nib.Nifti1Image(np.rint(values).astype(np.int16), affine), f"{stem}.nii.gz")
            stem.with_suffix(".json").write_text(json.dumps({"EchoTime": time, "MagneticFieldStrength": 3.0}))
shutil.copy(head / "dataset_description.json", data)

leak = masks / "sub-MaskWithAirAndBone" / "anat" / "sub-MaskWithAirAndBone_desc-brain_mask.nii.gz"
leak.parent.mkdir(parents=True, exist_ok=True)
shutil.copy(head / "dataset_description.json", masks)
nib.save(nib.Nifti1Image(ndimage.binary_dilation(brain.get_fdata() > 0, iterations=4).astype(np.uint8), affine), leak)

options = "--segmentation none --preset fast --skip-bids-validation"
command = f"qsm-bids-app {data} {out} participant --derivatives {masks} {options}"
done = subprocess.run(command, shell=True, check=True, capture_output=True)

# %%
# The maps
# --------
# All maps have the same grey scale, from -0.12 to 0.2 ppm. Without a mask from elsewhere, the app looks for the brain
# itself. It finds no brain in bad data, and then the mask has holes or holds the whole head.
inside = brain.get_fdata() > 0
box = tuple(slice(max(i.min() - 4, 0), i.max() + 5) for i in np.nonzero(inside.any(axis=2)))
truth = head / "derivatives/phantom/sub-01/anat/sub-01_seg-nuclei_dseg.nii.gz"
z = int(np.argmax((nib.load(truth).get_fdata() > 0).sum(axis=(0, 1))))
figure, axes = plt.subplots(2, 4, figsize=(11, 7), layout="constrained", facecolor="black")
for ax, (name, label) in zip(axes.flat, labels.items(), strict=True):
    chi = nib.load(out / f"sub-{label}" / "anat" / f"sub-{label}_Chimap.nii.gz").get_fdata()[:, :, z][box]
    ax.imshow(chi.T, cmap="gray", vmin=-0.12, vmax=0.2, origin="lower", interpolation="lanczos")
    ax.set_title(name, color="white", fontsize=14)
    ax.axis("off")
plt.show()

# %%
# What quality control says
# -------------------------
# The metrics of ``*_qc.json`` that are out of their expected range:
for name, label in labels.items():
    metrics = json.loads((out / f"sub-{label}" / "anat" / f"sub-{label}_qc.json").read_text())
    print(f"{name}: {', '.join(metrics['flags']) or 'nothing'}")

# %%
# **No metric notices an opposite sign or wrong echo times.** The maps look sharp, and only their values are wrong. Look
# at every map, and compare the nuclei with those of other people.
