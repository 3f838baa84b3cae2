"""Images of single receive coils, and echoes stored as real and imaginary parts, through the command."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.command import main
from tests.integration.conftest import write_study

QUIET = ["participant", "--skip-bids-validation"]
COMBINE = [*QUIET, "--set", "field.coils=combine"]


def signals(study):
    """Give every echo's number, complex signal and image of the magnitude."""
    for path in sorted((study / "sub-01/anat").glob("*_part-mag_MEGRE.nii.gz")):
        image, phase = nib.load(path), nib.load(path.with_name(path.name.replace("part-mag", "part-phase")))
        echo = int(path.name.split("echo-")[1].split("_")[0])
        yield echo, image.get_fdata() * np.exp(1j * np.pi * phase.get_fdata() / 4095), image


def coils_of(signal, count=3):
    """Return a signal as coils with sensitivities and phases of their own see it, coils last."""
    rng, seen = np.random.default_rng(8), []
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in signal.shape], indexing="ij")
    for angle in 2 * np.pi * np.arange(count) / count:
        strength = np.exp(-((x - np.cos(angle)) ** 2 + (y - np.sin(angle)) ** 2) / 4)
        coil = strength * signal * np.exp(1j * (2 * x * np.cos(angle) + 3 * z * np.sin(angle) + 5 * angle))
        seen.append(coil + rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    return np.stack(seen, axis=-1)


def write(study, target, parts, change=lambda signal: signal):
    """Write a study's echoes anew, by functions of the changed signal for each part."""
    target.mkdir()
    for name in ("dataset_description.json", "README", "MEGRE.json"):
        shutil.copy(study / name, target)
    folder = target / "sub-01/anat"
    folder.mkdir(parents=True)
    for echo, signal, image in signals(study):
        sidecar = json.loads((study / f"sub-01/anat/sub-01_echo-{echo}_part-mag_MEGRE.json").read_text())
        for part, function in parts.items():
            name = f"sub-01_echo-{echo}_part-{part}_MEGRE"
            data = function(change(signal))
            kind = np.int16 if part in ("mag", "phase") else np.float32
            nib.save(nib.Nifti1Image(data.astype(kind), image.affine), folder / f"{name}.nii.gz")
            units = {"Units": "arbitrary"} if part != "mag" else {}
            (folder / f"{name}.json").write_text(json.dumps({"EchoTime": sidecar["EchoTime"]} | units))
    return target


def one_file_per_coil(study):
    """Replace every image of several coils by one file for each; returns the study."""
    for path in sorted((study / "sub-01/anat").glob("*_echo-*.nii.gz")):
        image = nib.load(path)
        for coil in range(image.shape[3]):
            single = nib.Nifti1Image(np.asarray(image.dataobj)[..., coil], image.affine)
            nib.save(single, path.with_name(path.name.replace("_echo-", f"_coil-{coil + 8}_echo-")))
        path.unlink()
    return study


POLAR = {"mag": np.abs, "phase": lambda signal: np.rint(np.angle(signal) / np.pi * 4095)}
CARTESIAN = {"real": np.real, "imag": np.imag}


def read(out, name):
    return nib.load(out / f"sub-01/anat/sub-01_{name}.nii.gz").get_fdata()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return a study and its outputs; tests must not change them."""
    folder = tmp_path_factory.mktemp("coils")
    study = write_study(folder / "bids", subjects=("01",))
    assert main([str(study), str(folder / "out"), *QUIET]) == 0
    return study, folder / "out"


@pytest.mark.parametrize("parts", [POLAR, CARTESIAN], ids=["polar", "cartesian"])
def test_coils_are_combined_on_request_and_give_the_map_of_their_sum(plain, tmp_path, capsys, parts):
    study, reference = plain
    several, out = write(study, tmp_path / "bids", parts, coils_of), tmp_path / "out"
    assert main([str(several), str(out), *QUIET]) == 3
    assert "--set field.coils=combine" in capsys.readouterr().err
    assert not out.exists()
    assert main([str(several), str(out), *COMBINE]) == 0
    assert "ran coils, phase, field," in capsys.readouterr().out
    first, other = (read(folder, "Chimap") for folder in (reference, out))
    inside = (first != 0) & (other != 0)
    assert inside.sum() > 0.95 * (first != 0).sum()
    assert np.corrcoef(first[inside], other[inside])[0, 1] > 0.95
    rates = [np.median(read(folder, "R2starmap")[inside]) for folder in (reference, out)]
    assert rates[1] == pytest.approx(rates[0], rel=0.05)
    page = (out / "sub-01.html").read_text(encoding="utf-8")
    assert "Images of single receive coils were combined" in page
    assert "as stored, of the first coil" in page
    assert "not drawn" not in page.lower()
    assert "phase is that of 3 receive coils together" in page
    assert main([str(several), str(out), *COMBINE]) == 0
    assert "ran nothing" in capsys.readouterr().out


def test_another_inversion_combines_no_coils_again_and_gone_working_files_are_made_again(plain, tmp_path, capsys):
    several, out = one_file_per_coil(write(plain[0], tmp_path / "bids", POLAR, coils_of)), tmp_path / "out"
    words = [str(several), str(out), *COMBINE, "--set", "relaxometry.method=none", "--set", "swi.method=none"]
    assert main(words) == 0
    first, other = (read(folder, "Chimap") for folder in (plain[1], out))
    inside = (first != 0) & (other != 0)
    assert np.corrcoef(first[inside], other[inside])[0, 1] > 0.95
    capsys.readouterr()
    assert main([*words, "--set", "inversion.method=tkd"]) == 0
    assert "ran inversion, null_space_trend, reference, qc" in capsys.readouterr().out
    shutil.rmtree(out / "work")
    assert main([*words[:-4], "--set", "inversion.method=tkd", "--set", "swi.method=none"]) == 0
    assert "ran coils, phase, field" in capsys.readouterr().out  # R2* needs what they make
    assert (out / "sub-01/anat/sub-01_R2starmap.nii.gz").is_file()


def test_real_and_imaginary_parts_give_the_maps_of_magnitude_and_phase(plain, tmp_path):
    study, reference = plain
    out = tmp_path / "out"
    assert main([str(write(study, tmp_path / "bids", CARTESIAN)), str(out), *QUIET]) == 0
    inside = (read(reference, "desc-qsm_mask") > 0) & (read(out, "desc-qsm_mask") > 0)
    for name in ("Chimap", "R2starmap"):
        first, other = (read(folder, name)[inside] for folder in (reference, out))
        assert np.corrcoef(first, other)[0, 1] > 0.99
