import numpy as np

from benchmarks import presets


def test_the_torso_has_air_without_signal_and_fat_around_its_organs():
    signal, affine, chi, mask, labels = presets.torso((42, 30, 16), 8.0)
    again = presets.torso((42, 30, 16), 8.0)[0]
    np.testing.assert_array_equal(signal, again)
    assert signal.shape == (len(presets.TIMES), 42, 30, 16)
    assert not mask[0].any() and affine[0, 0] == 8
    assert np.abs(signal[0])[mask].mean() > 5 * np.abs(signal[0])[~mask].mean()
    for number, (_, _, _, value, density, _) in enumerate(presets.ORGANS, start=1):
        if density and (labels == number).any():
            np.testing.assert_allclose(np.median(chi[labels == number]), value, atol=1e-3)
