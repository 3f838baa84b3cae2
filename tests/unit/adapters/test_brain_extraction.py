"""External brain extraction by one contract, with small programs that stand for the large ones."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from bids_app.adapters.brain_extraction import KNOWN, extract, extractor_of, require
from bids_app.derivatives.files import write_image
from bids_app.errors import QsmAppError, ToolMissingError, UsageError

#: A program that copies the mask of the test to where a program of its name writes one, or fails.
STUB = """#!/bin/sh
name=$(basename "$0")
echo "$name $*" >> "$SAID"
if [ "$CHANGE" = fails ]; then echo "no network weights here" >&2; exit 3; fi
for last in "$@"; do :; done
case $name in
    hd-bet) out=${4%.nii.gz}_bet.nii.gz ;;
    bet) out=$2_mask.nii.gz ;;
    *) out=$last ;;
esac
if [ "$CHANGE" != nothing ]; then cp "$MASK" "$out"; fi
"""
AFFINE = np.diag([2.0, 2, 3, 1])
PROGRAMS = {"synthstrip": "mri_synthstrip", "hd-bet": "hd-bet", "fsl-bet": "bet"}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Return the file that lists what the stub programs were called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*PROGRAMS.values(), "my-tool"):
        path = folder / name
        path.write_text(STUB)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SAID", str(tmp_path / "said.txt"))
    monkeypatch.setenv("MASK", str(tmp_path / "made.nii.gz"))
    monkeypatch.setenv("CHANGE", "")
    return tmp_path / "said.txt"


@pytest.fixture
def image(tmp_path):
    data = np.linspace(0, 1, 6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)
    path = tmp_path / "magnitude with space.nii.gz"
    write_image(path, data, AFFINE, "float32")
    write_image(tmp_path / "made.nii.gz", (data > 0.5).astype(np.float32), AFFINE, "float32")
    return path, data > 0.5


def changed(change, mask):
    """Return what a program might write instead of its mask, and the affine."""
    moved = AFFINE.copy()
    moved[:3, 3] += 5
    made = {
        "empty": np.zeros_like(mask),
        "full": np.ones_like(mask),
        "grey": np.linspace(0, 1, mask.size).reshape(mask.shape),
        "grid": mask[1:],
    }
    return made.get(change, mask).astype(np.float32), moved if change == "moved" else AFFINE


@pytest.mark.parametrize("word", [*PROGRAMS, "my-tool --fast -i {image} {mask}"])
def test_every_program_gives_its_mask(word, programs, image, tmp_path):
    path, expected = image
    require(word)
    assert np.array_equal(extract(word, path, tmp_path / "work", 2), expected)
    said = programs.read_text()
    assert said.startswith(f"{PROGRAMS.get(word, 'my-tool')} ")
    assert path.name not in said  # a copy: programs leave files beside their input
    assert path.parent.joinpath("work", "image.nii.gz").is_file()


def test_the_known_command_lines(programs, image, tmp_path):
    for word in PROGRAMS:
        extract(word, image[0], tmp_path, 1)
    first, second, third = (line.replace(f"{tmp_path}/", "") for line in programs.read_text().splitlines())
    assert first == "mri_synthstrip -i image.nii.gz -m extracted_mask.nii.gz"
    assert second == (
        "hd-bet -i image.nii.gz -o extracted.nii.gz -device cpu --disable_tta --save_bet_mask --no_bet_image"
    )
    assert third == "bet image.nii.gz extracted -m -n"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("fails", "failed with exit code 3: no network weights here"),
        ("empty", "the mask is empty"),
        ("full", "the mask is the whole volume"),
        ("grey", "different values"),
        ("grid", "the mask has shape (5, 7, 8)"),
        ("moved", "another position"),
        ("nothing", "it did not write extracted_mask.nii.gz"),
    ],
)
def test_what_is_no_mask_is_refused(change, says, programs, image, tmp_path, monkeypatch):
    monkeypatch.setenv("CHANGE", change)
    write_image(tmp_path / "made.nii.gz", *changed(change, image[1]), "float32")
    with pytest.raises(QsmAppError) as error:
        extract("synthstrip", image[0], tmp_path / "work", 1)
    assert says in str(error.value)
    assert "mri_synthstrip" in str(error.value)


@pytest.mark.parametrize("word", list(KNOWN))
def test_a_missing_program_is_named_with_how_to_get_it(word, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=f"there is no program {KNOWN[word].program}: ") as error:
        require(word)
    assert error.value.exit_code == 4


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("syntstrip", "did you mean"),
        ("my-tool {image}", "lacks {mask}"),
        ("my-tool {image} {mask} {colour}", "cannot be used"),
        ("my-tool {image} '{mask}", "cannot be used"),
    ],
)
def test_a_wrong_word_is_a_usage_error(word, says):
    with pytest.raises(UsageError, match="--brain-extraction") as error:
        extractor_of(word)
    assert says in str(error.value)


def test_a_program_that_cannot_be_started_is_named(image, tmp_path):
    program = tmp_path / "broken"
    program.write_text("no program")
    with pytest.raises(QsmAppError, match="cannot be started"):
        extract(f"{Path(program)} {{image}} {{mask}}", image[0], tmp_path / "work", 1)
