"""``qsm``: every stage on loose files gives what the library gives, and refuses what is wrong with one sentence."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from bids_app import qsm
from bids_app.cli.stages import main
from bids_app.cli.stages.options import STAGES
from bids_app.qsm import device as devices
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.units import ppm_to_hz
from tests.helpers.devices import strict

TIMES = (0.004, 0.010, 0.016)
B0 = 3.0
AFFINE = np.diag([2.0, 2.0, 2.5, 1.0])
GRID = qsm.Grid.from_affine((40, 38, 32), AFFINE)


def write(path, data, **sidecar):
    nib.save(nib.Nifti1Image(np.asarray(data, np.float32), AFFINE), path)
    if sidecar:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))
    return str(path)


def read(path):
    return np.asarray(nib.load(path).dataobj, np.float32)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Phase and magnitude of a head with a ball in it, as loose files with sidecars."""
    folder = tmp_path_factory.mktemp("scan")
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    head, ball = x**2 + y**2 + z**2 < 0.75, x**2 + y**2 + z**2 < 0.06
    chi = np.where(ball, 0.1, 0).astype(np.float32)
    field = ppm_to_hz(forward_field(chi, GRID), B0) + 20 * z
    rng = np.random.default_rng(1)
    files = {"phase": [], "magnitude": []}
    for number, time in enumerate(TIMES, start=1):
        signal = head * np.exp((2j * np.pi * field - 25) * time) + rng.normal(scale=0.01, size=(2, *GRID.shape))[0]
        facts = {"EchoTime": time, "MagneticFieldStrength": B0}
        files["phase"].append(write(folder / f"p{number}.nii.gz", np.angle(signal), Units="rad", **facts))
        files["magnitude"].append(write(folder / f"m{number}.nii.gz", np.abs(signal), **facts))
    files["mask"] = write(folder / "mask.nii.gz", head)
    files["chi"] = write(folder / "truth.nii.gz", chi)
    files["local"] = write(folder / "local.nii.gz", forward_field(chi, GRID) * head, Units="ppm")
    return files


def test_reconstruct_gives_the_librarys_map_bit_for_bit_with_a_report(scan, tmp_path, capsys):
    out = tmp_path / "chi.nii.gz"
    assert main(["reconstruct", "--phase", *scan["phase"], "--magnitude", *scan["magnitude"], "-o", str(out)]) == 0
    phase, magnitude = (np.stack([read(path) for path in scan[kind]]) for kind in ("phase", "magnitude"))
    result = qsm.reconstruct(qsm.to_radians(phase, units="rad").phase, magnitude, TIMES, GRID, B0)
    assert np.array_equal(read(out), result.chi)
    assert np.array_equal(read(tmp_path / "chi_mask.nii.gz") > 0, result.mask)
    sidecar = json.loads((tmp_path / "chi.json").read_text())
    assert sidecar["Units"] == "ppm" and sidecar["ReferenceRegion"] == "mask" and sidecar["EchoTimes"] == list(TIMES)
    assert sidecar["ReferenceOffsetUnits"] == "ppm"
    page = (tmp_path / "chi.html").read_text()
    assert "axial slices" in page and 'src="http' not in page
    assert "report" in capsys.readouterr().out


def test_stage_after_stage(scan, tmp_path, capsys):
    total, mask, local, chi = (tmp_path / f"{name}.nii.gz" for name in ("total", "mask", "local", "chi"))
    assert main(["field", *scan["phase"], "--magnitude", *scan["magnitude"], "-o", str(total)]) == 0
    assert json.loads((tmp_path / "total.json").read_text())["Units"] == "Hz"
    recipe = "magnitude,otsu:1,largest,holes"
    assert main(["mask", "--magnitude", *scan["magnitude"], "--recipe", recipe, "-o", str(mask)]) == 0
    words = ["background", str(total), "--mask", str(mask), "--method", "pdf", "-o", str(local)]
    assert main(words) == 0  # unit and field strength are in the sidecar of the field
    words = ["invert", str(local), "--mask", str(tmp_path / "local_mask.nii.gz"), "--method", "tv"]
    assert main([*words, "--lambda", "2e-4", "-o", str(chi)]) == 0
    assert json.loads((tmp_path / "chi.json").read_text())["Parameters"]["lambda_"] == 2e-4
    valid = read(tmp_path / "local_mask.nii.gz") > 0
    params = qsm.INVERSIONS["tv"].params.from_mapping({"lambda_": 2e-4})
    assert np.array_equal(read(chi), qsm.INVERSIONS["tv"](read(local), valid, GRID, params=params))
    referenced = tmp_path / "referenced.nii.gz"
    assert main(["reference", str(chi), "--mask", str(tmp_path / "local_mask.nii.gz"), "-o", str(referenced)]) == 0
    assert abs(read(referenced)[valid].mean()) < 1e-6
    capsys.readouterr()
    assert main(["score", str(referenced), scan["chi"], "--mask", str(tmp_path / "local_mask.nii.gz")]) == 0
    assert "NRMSE: " in capsys.readouterr().out


def test_companion_maps(scan, tmp_path):
    r2star, unwrapped, swi = (tmp_path / f"{name}.nii.gz" for name in ("r2star", "unwrapped", "swi"))
    assert main(["r2star", *scan["magnitude"], "--mask", scan["mask"], "-o", str(r2star)]) == 0
    inside = read(scan["mask"]) > 0
    assert np.median(read(r2star)[inside]) == pytest.approx(25, abs=2)
    assert main(["unwrap", *scan["phase"], "--mask", scan["mask"], "-o", str(unwrapped)]) == 0
    assert nib.load(unwrapped).shape == (*GRID.shape, 3)
    words = ["swi", scan["local"], "--magnitude", scan["magnitude"][0], "--mask", scan["mask"], "--units", "hz"]
    assert main([*words, "-o", str(swi)]) == 0
    assert (tmp_path / "swi_minip.nii.gz").is_file()
    weighted = [*words, "--chi", scan["chi"], "--method", "tswi", "--upper", "0.2", "-o", str(tmp_path / "tswi.nii.gz")]
    assert main(weighted) == 0
    expected = qsm.swi.true_swi(
        read(scan["local"]),
        read(scan["magnitude"][0]),
        read(scan["mask"]) > 0,
        GRID,
        params=qsm.swi.TswiParams(upper=0.2),
        chi_ppm=read(scan["chi"]),
    )
    np.testing.assert_array_equal(read(tmp_path / "tswi.nii.gz"), expected.swi)


def test_sources_of_r2star_and_r2_are_those_of_their_difference(scan, tmp_path):
    chi, mask = read(scan["chi"]), read(scan["mask"]) > 0
    star, r2 = (np.where(mask, rate, 0).astype(np.float32) for rate in (25 + 60 * chi, 12 + 0 * chi))
    files = {"r2star": write(tmp_path / "r2star.nii.gz", star), "r2": write(tmp_path / "r2.nii.gz", r2)}
    files["r2prime"] = write(tmp_path / "r2prime.nii.gz", star - r2)
    command = ["separate", scan["chi"], "--mask", scan["mask"], "--b0", "3"]
    assert main([*command, "--r2prime", files["r2prime"], "-o", str(tmp_path / "one.nii.gz")]) == 0
    assert main([*command, "--r2star", files["r2star"], "--r2", files["r2"], "-o", str(tmp_path / "two.nii.gz")]) == 0
    data = qsm.SeparationData(GRID, mask, B0, chi=chi, r2prime=star - r2)
    expected = qsm.separation.closed_form(data)
    for name in ("paramagnetic", "diamagnetic"):
        first, two = (read(tmp_path / f"{stem}_{name}.nii.gz") for stem in ("one", "two"))
        assert np.array_equal(first, getattr(expected, name))
        assert np.array_equal(first, two)


_SWI = ["swi", "{local}", "--magnitude", "{local}", "--mask", "{mask}", "--units", "hz"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["invert", "{total}", "--mask", "{mask}"], 2, "--units: say whether"),
        (["invert", "{total}", "--mask", "{mask}", "--units", "ppm"], 2, "too large for ppm: say --units hz"),
        (["invert", "{local}", "--mask", "{mask}", "--method", "tvv"], 2, "did you mean 'tv'"),
        (["invert", "{local}", "--mask", "{mask}", "--method", "tv", "--lamda", "1"], 2, "did you mean 'lambda_'"),
        (["invert", "{local}", "--mask", "{mask}", "--method", "tv", "--lambda", "-1"], 2, "must be between"),
        (["invert", "{local}", "--mask", "{small}"], 3, "does not lie on the grid of local.nii.gz"),
        (["invert", "{local}", "--mask", "{nothing}"], 3, "0 everywhere"),
        (["invert", "{local}", "--mask", "{mask}", "--weights", "{small}"], 3, "does not lie on the grid of local"),
        (["invert", "nowhere.nii.gz", "--mask", "{mask}"], 3, "there is no such file"),
        (["invert", "{local}", "--mask", "{mask}", "--b0-dir", "0", "0", "0"], 2, "--b0-dir must be"),
        (["r2star", "{magnitude}", "--mask", "{mask}", "--te", "4", "8", "12"], 2, "give seconds: 0.012"),
        (["r2star", "{magnitude}", "--mask", "{mask}", "--te", "0.004", "0.008"], 2, "3 echoes need 3 echo times"),
        (["r2star", "{magnitude}", "--mask", "{mask}", "--te", "0.012", "0.008", "0.016"], 2, "ascending"),
        (["separate", "{local}", "--mask", "{mask}", "--b0", "3"], 2, "needs an R2' map"),
        (["separate", "{local}", "--mask", "{mask}"], 2, "--b0: give the main field"),
        (["separate", "{total}", "--mask", "{mask}", "--b0", "3", "--r2prime", "{local}"], 2, 'say "Units": "ppb"'),
        (
            ["separate", "{local}", "--mask", "{mask}", "--b0", "3", "--r2prime", "{small}"],
            3,
            "does not lie on the grid",
        ),
        (["mask"], 2, "give --magnitude, --phase, or both"),
        ([*_SWI, "--method", "smwi"], 2, "--chi: SMWI needs the susceptibility map"),
        ([*_SWI, "--method", "phase_mask"], 2, "--te: SWI (phase mask) needs the echo time"),
    ],
)
def test_what_is_wrong_is_one_sentence(words, code, says, scan, tmp_path, capsys):
    files = {"mask": scan["mask"], "local": scan["local"], "magnitude": "{magnitude}"}
    files["total"] = write(tmp_path / "total.nii.gz", np.full(GRID.shape, 90.0))
    files["nothing"] = write(tmp_path / "nothing.nii.gz", np.zeros(GRID.shape))
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), AFFINE), tmp_path / "small.nii.gz")
    files["small"] = str(tmp_path / "small.nii.gz")
    filled = [
        part for word in words for part in (scan["magnitude"] if word == "{magnitude}" else [word.format(**files)])
    ]
    assert main([*filled, "-o", str(tmp_path / "out.nii.gz")]) == code
    message = capsys.readouterr().err
    assert says in message and "Traceback" not in message
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_device_is_named_in_the_sidecar_and_refused_where_there_is_none(scan, tmp_path, capsys, monkeypatch):
    words = ["invert", scan["local"], "--mask", scan["mask"], "-o", str(tmp_path / "chi.nii.gz"), "--device"]
    monkeypatch.setattr(devices, "_missing", lambda: "PyTorch is not installed")
    assert main([*words, "cuda", "--method", "tkd"]) == 4
    assert "qsm: device cuda: PyTorch is not installed; install it" in capsys.readouterr().err
    assert main([*words, "auto", "--method", "tkd"]) == 0
    assert "warning: Device auto: PyTorch is not installed; the processor is used.\n" in capsys.readouterr().out
    expected = read(tmp_path / "chi.nii.gz")
    monkeypatch.setattr(devices, "find_device", lambda name: strict())
    assert main([*words, "cuda", "--method", "tkd"]) == 0
    assert json.loads((tmp_path / "chi.json").read_text())["Device"] == "strict arrays"
    np.testing.assert_allclose(read(tmp_path / "chi.nii.gz"), expected, atol=1e-6)
    assert main([*words, "cuda", "--method", "ilsqr"]) == 0
    assert "warning: iLSQR cannot run on the strict arrays and ran on the processor.\n" in capsys.readouterr().out
    assert "Device" not in json.loads((tmp_path / "chi.json").read_text())


def test_an_output_never_replaces_an_input(scan, tmp_path, capsys):
    image = write(tmp_path / "local.nii.gz", read(scan["local"]), Units="ppm")
    before = (tmp_path / "local.nii.gz").read_bytes()
    assert main(["invert", image, "--mask", scan["mask"], "--method", "tkd", "-o", image]) == 2
    assert "would replace the input" in capsys.readouterr().err
    assert (tmp_path / "local.nii.gz").read_bytes() == before


def test_help_has_an_example_of_every_stage_and_loads_nothing_heavy(capsys):
    for name in STAGES:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert f"example:\n  qsm {name} " in capsys.readouterr().out
    code = "import sys, bids_app.cli.stages.options as o; o.build_parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "scipy", "numba", "nibabel"} & set(loaded)
