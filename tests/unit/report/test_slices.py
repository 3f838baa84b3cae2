"""Slices lie as radiographers expect them, whatever the axes of the image."""

import itertools

import numpy as np
import pytest

from bids_app.report.slices import Frame, cut, frame, inside_box, positions, stored_box, to_ras


def head():
    """Return a volume in RAS axes with a mark on the right, one in front and one on top."""
    volume = np.zeros((11, 13, 9), np.float32)
    volume[10, 6, 4], volume[5, 12, 4], volume[5, 6, 8] = 1, 2, 3
    return volume


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_any_axes_come_back_as_right_anterior_superior(order, flips):
    sizes = np.array([1.0, 2.0, 3.0])
    stored = np.flip(head(), flips).transpose(order)
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-s if k in flips else s for k, s in enumerate(sizes)])[:, order]
    tilt = np.radians(15)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine[:3, :3] = turn @ affine[:3, :3]
    view, lengths = to_ras(stored, affine)
    assert np.array_equal(view, head())
    assert lengths == pytest.approx(tuple(sizes))


def test_right_is_on_the_left_and_front_on_top():
    shown = frame(np.ones((11, 13, 9), bool), (1.0, 2.0, 3.0))
    axial, aspect = cut(head(), shown, "axial", 4)
    assert axial.shape == (13, 11)
    assert aspect == 2
    assert axial[6, 0] == 1
    assert axial[0, 5] == 2
    sagittal, aspect = cut(head(), shown, "sagittal", 5)
    assert aspect == 1.5
    assert sagittal[0, 6] == 3
    assert sagittal[4, 12] == 2


def test_the_frame_is_the_box_of_the_object():
    mask = np.zeros((40, 40, 40), bool)
    mask[10:20, 12:16, 30:39] = True
    shown = frame(mask, (2.0, 2.0, 2.0), margin_mm=4)
    assert shown.box == (slice(8, 22), slice(10, 18), slice(28, 40))
    assert shown.centre == (14, 14, 34)
    assert positions(shown, "axial", 3) == sorted(positions(shown, "axial", 3))
    assert all(28 < at < 39 for at in positions(shown, "axial", 3))
    empty = frame(np.zeros((4, 6, 8), bool), (1.0, 1.0, 1.0))
    assert empty.centre == (2, 3, 4)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_a_box_is_found_in_the_stored_axes(order, flips):
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1.0 if k in flips else 1.0 for k in range(3)])[:, order]
    stored = np.flip(np.arange(5 * 6 * 7).reshape(5, 6, 7), flips).transpose(order)
    whole, _ = to_ras(stored, affine)
    box = (slice(1, 4), slice(0, 6), slice(3, 5))
    part, _ = to_ras(stored[stored_box(box, whole.shape, affine)], affine)
    assert np.array_equal(part, whole[box])


def test_a_frame_of_the_box_alone_shows_the_same():
    volume = np.random.default_rng(1).random((20, 24, 16)).astype(np.float32)
    shown = Frame((slice(4, 15), slice(2, 20), slice(5, 14)), (9, 3, 13), (1.0, 1.0, 2.0))
    for plane in ("axial", "coronal", "sagittal"):
        inside, aspect = cut(volume[shown.box], inside_box(shown), plane)
        expected, same = cut(volume, shown, plane)
        assert np.array_equal(inside, expected)
        assert aspect == same
    beside = Frame(shown.box, (2, 30, 8), shown.voxel_size)
    assert inside_box(beside).centre == (0, 17, 3)
