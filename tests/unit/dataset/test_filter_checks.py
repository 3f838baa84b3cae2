"""Phase that was filtered for SWI, by its values alone."""

import numpy as np
import pytest

from bids_app.dataset.checks import preflight
from bids_app.dataset.filter_checks import lacks_low_frequencies
from bids_app.dataset.query import find_subjects

SHAPE = (64, 60, 6)


def head(background):
    """Return the complex signal of an ellipsoid with nuclei and veins; ``background`` (rad) is its smooth phase."""
    rng = np.random.default_rng(2)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    inside = x**2 + y**2 < 0.6
    phase = background * (x - 0.6 * y + 0.5 * x * y + 0.2 * z)
    for _ in range(60):
        a, b, size = rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.7), rng.uniform(0.03, 0.08)
        phase += rng.choice((-1.2, 1.2)) * np.exp(-((x - a) ** 2 + (y - b) ** 2) / size**2)
    noise = rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)
    return inside * np.exp(1j * phase) + 0.03 * noise


def homodyne(signal, share):
    """Return the signal divided by the phase of a share of k-space under a Hann window, slice by slice."""
    frequency = [np.abs(np.fft.fftfreq(n)) / (0.5 * share) for n in signal.shape[:2]]
    window = [np.where(f < 1, 0.5 + 0.5 * np.cos(np.pi * f), 0) for f in frequency]
    weights = (window[0][:, None] * window[1][None])[:, :, None]
    smooth = np.fft.ifft2(np.fft.fft2(signal, axes=(0, 1)) * weights, axes=(0, 1))
    return np.abs(signal) * np.exp(1j * np.angle(signal * smooth.conj()))


def write(dataset, signal, **sidecar):
    sidecar |= {"EchoTime": 0.02, "MagneticFieldStrength": 3}
    dataset.image("sub-01_part-mag_T2starw", np.rint(1000 * np.abs(signal)).astype(np.int16), **sidecar)
    stored = np.rint(np.angle(signal) / np.pi * 4095).astype(np.int16)
    dataset.image("sub-01_part-phase_T2starw", stored, **sidecar)
    return preflight(find_subjects(dataset.root), dataset.root, dataset.root.parent / "out")


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_filtered_phase_is_refused_and_raw_phase_is_not(share, dataset):
    raw = head(5.0)
    assert write(dataset, raw) == []
    (problem,) = write(dataset, homodyne(raw, share))
    assert problem.startswith("sub-01_part-phase_T2starw.nii.gz: its phase has no low spatial frequencies")
    assert write(dataset, homodyne(raw, share), PhaseFiltered=False) == []


def test_a_masked_phase_without_background_is_not_refused(dataset):
    """It was simulated, or computed: the air of a scanner's image is noise."""
    local = head(0.0)
    local[np.abs(local) < 0.3] = 0
    assert write(dataset, local) == []


@pytest.mark.parametrize(("background", "lacks"), [(0.0, True), (0.4, False), (5.0, False)])
def test_how_much_background_is_needed(background, lacks):
    signal = head(background).astype(np.complex64)
    weight = np.abs(signal) * (np.abs(signal) > 0.3)
    assert lacks_low_frequencies(signal, weight) is lacks
