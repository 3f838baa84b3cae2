"""A sheet holds its slices, names, outlines and colour bars where the reader looks for them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from bids_app.report.mosaic import Place, shaded, ticks
from bids_app.report.participant.figures_anatomy import outlines_of
from bids_app.report.pictures import COLOURS, Contour, Layer, grid, picture, planes, symmetric, window_of
from bids_app.report.slices import frame, to_ras

WHOLE = (slice(None), slice(None), slice(None))


def pixels(figure):
    """Return a figure as the page holds it."""
    content = picture(figure, "t", "c", "a", quality=100).uri.partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")).astype(int)


def halves():
    """Return a volume that is bright on the patient's right, and its frame."""
    volume = np.zeros((40, 40, 40), np.float32)
    volume[20:] = 1
    return volume, frame(np.ones(volume.shape, bool), (1.0, 1.0, 1.0))


def test_a_slice_lies_below_its_name_with_the_bar_beside_it():
    volume, shown = halves()
    drawn_pixels = pixels(grid([[(Layer(volume, (0, 1), "χ", "ppm"), "axial", 20)]], shown))
    assert drawn_pixels.shape[1] == 940
    slice_right = round(940 / 1.09)
    assert drawn_pixels[40:-40, 20 : slice_right // 2 - 20].min() > 240  # right of the patient, left on the picture
    assert drawn_pixels[40:-40, slice_right // 2 + 20 : slice_right - 20].max() < 15
    assert drawn_pixels[:28, :60].max() > 200  # the name
    bar = drawn_pixels[:, slice_right + 14].mean(axis=1)
    assert bar[round(0.2 * len(bar))] > bar[len(bar) // 2] > bar[round(0.8 * len(bar))]  # bright is above
    assert drawn_pixels[:, slice_right + 24 :].max() > 200  # numbers of the ticks


def test_what_is_outside_is_black_and_outlines_have_their_colour():
    volume, shown = halves()
    inside = np.zeros(volume.shape, bool)
    inside[25:35, 10:30, 10:30] = True
    layer = Layer(volume + 1, (0, 1), contours=[Contour(inside, "#FF0000", "")])
    drawn = pixels(planes([layer], shown))
    assert ((drawn[..., 0] > 150) & (drawn[..., 1] < 110)).sum() > 100
    cut_out = pixels(planes([Layer(volume + 1, (0, 1), inside=inside)], shown))
    assert 0.02 < (cut_out[30:, :860].min(axis=-1) > 200).mean() < 0.3


def test_colours_go_through_the_whole_map():
    image = np.array([[0.0, 0.5, 1.0, np.nan, -7.0, 7.0]])
    assert shaded(image, "gray", (0, 1))[0, :, 0].tolist() == [0, 128, 255, 0, 0, 255]
    twilight = shaded(image, "twilight", (0, 1))[0]  # a map of 510 colours that ends as it begins
    assert np.abs(twilight[0].astype(int) - twilight[2]).max() < 5
    assert twilight[1].max() < 100


@pytest.mark.parametrize(
    ("window", "words", "offset"),
    [
        ((-0.1, 0.2), ["−0.1", "0.0", "0.1", "0.2"], ""),
        ((0.0, 80.0), ["0", "20", "40", "60", "80"], ""),
        ((0.0, 2e-7), ["0.0", "0.5", "1.0", "1.5", "2.0"], "1e−7"),
    ],
)
def test_ticks_are_round_and_inside(window, words, offset):
    values, written, factor = ticks(*window)
    assert (written, factor) == (words, offset)
    assert window[0] - 1e-12 <= min(values) <= max(values) <= window[1] + 1e-12


def test_a_smaller_image_stands_in_the_middle():
    place = Place(1.0, 2.0, 4.0, 2.0).holding((10, 10), 1.0)
    assert (place.left, place.top, place.right, place.bottom) == (2.0, 2.0, 4.0, 4.0)


def test_windows_of_a_view_are_those_of_its_copy():
    rng = np.random.default_rng(3)
    stored = rng.standard_normal((90, 130, 110)).astype(np.float32)
    view, _ = to_ras(stored, np.diag([-1.0, 1.0, -1.0, 1.0])[[0, 2, 1, 3]])
    copy = np.ascontiguousarray(view)
    step = max(1, copy.size // 1_000_000)
    assert window_of(view) == tuple(np.percentile(copy.ravel()[::step], (1, 99)))
    mask = copy > 0.5
    assert symmetric(view, mask)[1] == pytest.approx(np.percentile(np.abs(copy[mask]), 98))


def test_neighbouring_labels_have_different_colours():
    labels = np.zeros((8, 4, 4), np.float32)
    for place, label in enumerate((3, 4, 10, 11, 12, 60)):
        labels[place] = label
    outlines = outlines_of(labels, (slice(1, 8), *WHOLE[1:]))
    assert [outline.colour for outline in outlines] == list(COLOURS)
    assert [np.flatnonzero(outline.mask[:, 0, 0]).tolist() for outline in outlines] == [[4], [0], [1], [2], [3]]
    assert len(outlines_of(labels * (labels < 5), WHOLE)) == 2
