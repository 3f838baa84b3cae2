"""Atlases and segmentations that are there already."""

import subprocess
import sys
from pathlib import Path

import pytest

from bids_app.adapters import atlas, choose, existing
from bids_app.adapters.labels import Region, read_table
from bids_app.errors import ToolMissingError, UsageError

TABLE = "index\tname\n1\tleft putamen\n2\tright putamen\n"


def fill(folder, *names, content=b"x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(TABLE.encode() if name.endswith(".tsv") else content)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templateflow"))
    atlas.find.cache_clear()
    return tmp_path / "templateflow"


def test_folder(tmp_path):
    folder = fill(
        tmp_path / "mine",
        "tpl-x_T1w.nii.gz",
        "tpl-x_seg-nuclei_dseg.nii.gz",
        "tpl-x_seg-nuclei_dseg.tsv",
        "tpl-x_seg-tissue_dseg.nii.gz",
        "tpl-x_seg-tissue_dseg.tsv",
        "tpl-x_desc-brain_mask.nii.gz",
    )
    result = atlas.find(str(folder))
    assert [name for name, *_ in result.segmentations] == ["nuclei", "tissue"]
    assert result.brain_mask.name == "tpl-x_desc-brain_mask.nii.gz"
    assert [name for name, *_ in atlas.find(f"{folder}:nuclei").segmentations] == ["nuclei"]
    assert read_table(result.segmentations[0][2])[1] == Region(1, "putamen", "L")
    with pytest.raises(UsageError, match="nuclei, tissue"):
        atlas.find(f"{folder}:nuclie")


def test_incomplete_folders_say_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match="T1w"):
        atlas.find(str(fill(tmp_path / "a", "tpl-x_dseg.nii.gz", "tpl-x_dseg.tsv")))
    with pytest.raises(UsageError, match="names its labels"):
        atlas.find(str(fill(tmp_path / "b", "tpl-x_T1w.nii.gz", "tpl-x_dseg.nii.gz")))
    with pytest.raises(UsageError, match="no folder"):
        atlas.find(str(tmp_path / "nowhere"))


def test_templateflow_offline(home):
    fill(
        home / "tpl-MNI152NLin2009cAsym",
        "tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz",
        "tpl-MNI152NLin2009cAsym_res-02_T1w.nii.gz",
        "tpl-MNI152NLin2009cAsym_res-01_desc-brain_mask.nii.gz",
        "tpl-MNI152NLin2009cAsym_res-01_atlas-HOSPA_desc-th25_dseg.nii.gz",
        "tpl-MNI152NLin2009cAsym_res-02_atlas-HOSPA_desc-th25_dseg.nii.gz",
        "tpl-MNI152NLin2009cAsym_atlas-HOSPA_dseg.tsv",
    )
    result = atlas.find(atlas.default())
    assert result.t1w.name == "tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz"
    assert result.segmentations[0][0] == "HOSPAth25"
    assert "res-01" in result.segmentations[0][1].name
    fill(home / "tpl-MNI152NLin2009cAsym", "tpl-MNI152NLin2009cAsym_res-01_dseg.nii.gz")
    fill(home / "tpl-MNI152NLin2009cAsym", "tpl-MNI152NLin2009cAsym_dseg.tsv")
    atlas.find.cache_clear()
    with pytest.raises(UsageError, match="choose one"):
        atlas.find("MNI152NLin2009cAsym")


def test_placeholders_are_no_data(home, monkeypatch):
    names = ("tpl-X_res-01_T1w.nii.gz", "tpl-X_res-01_dseg.nii.gz", "tpl-X_dseg.tsv")
    fill(home / "tpl-X", *names, content=b"")
    (home / "tpl-X" / "tpl-X_dseg.tsv").write_bytes(b"")
    import templateflow.api

    def no_network(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(templateflow.api, "get", no_network)
    with pytest.raises(ToolMissingError, match="--segmentation none") as caught:
        atlas.find("X")
    assert caught.value.exit_code == 4
    assert atlas.default() is None


def test_the_default_is_never_fetched(home, monkeypatch):
    fill(home / f"tpl-{atlas.DEFAULT_TEMPLATE}", f"tpl-{atlas.DEFAULT_TEMPLATE}_res-01_T1w.nii.gz", content=b"")
    monkeypatch.setattr(atlas, "_fetch", lambda *words: pytest.fail("asked the network"))
    assert atlas.default() is None


def test_patterns_match_by_entities(tmp_path):
    root = fill(
        tmp_path / "lesions",
        "sub-01/ses-a/anat/sub-01_ses-a_label-lesion_dseg.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_label-lesion_dseg.nii.gz",
        "sub-011/anat/sub-011_label-lesion_dseg.nii.gz",
        "sub-02/anat/sub-02_acq-x_label-lesion_dseg.nii.gz",
        "sub-02/anat/sub-02_acq-y_label-lesion_dseg.nii.gz",
    )

    def find(**wanted):
        result = existing.find("*_label-lesion_dseg.nii.gz", [root], wanted)
        return result and result.name

    assert find(sub="01", ses="b") == "sub-01_ses-b_label-lesion_dseg.nii.gz"
    assert find(sub="01", ses="c") is None
    assert find(sub="02", acq="y") == "sub-02_acq-y_label-lesion_dseg.nii.gz"
    assert find(sub="03") is None
    path = str(root / "sub-{subject}" / "**" / "*_dseg.nii.gz")
    assert existing.find(path, [], {"sub": "011"}).name == "sub-011_label-lesion_dseg.nii.gz"
    with pytest.raises(UsageError, match="braces"):
        existing.find("{person}_dseg.nii.gz", [root], {"sub": "01"})


def test_names_of_patterns():
    assert existing.name_of("*_label-lesion_dseg.nii.gz", "extra") == "lesion"
    assert existing.name_of("*_seg-my_dseg.nii.gz", "extra") == "my"
    assert existing.name_of("*.mgz", "extra") == "extra"
    assert existing.is_pattern("*_dseg.nii.gz") and existing.is_pattern("/x/y") and not existing.is_pattern("atlas")


def test_templateflows_own_client_is_not_asked_where_the_files_are(home):
    """The real client, in a process of its own: it reads its folder's place when it is imported."""
    folder = fill(home / "tpl-Mine", "tpl-Mine_res-01_T1w.nii.gz", "tpl-Mine_res-01_dseg.nii.gz", "tpl-Mine_dseg.tsv")
    code = (
        "from templateflow import api; from bids_app.adapters import atlas\n"
        "print(api.get('Mine', resolution=1, suffix='T1w', extension='.nii.gz'))\n"
        "print(atlas.find('Mine').t1w)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    client, ours = done.stdout.split()[-2:]
    assert client == ours == str(folder / "tpl-Mine_res-01_T1w.nii.gz")


@pytest.mark.parametrize(
    ("names", "which"),
    [
        (["anat/sub-01_desc-aseg_dseg"], "anat/*_desc-aseg_dseg.nii.gz"),
        (["anat/sub-01_desc-aseg_dseg", "anat/sub-01_desc-aparcaseg_dseg"], "anat/*_desc-aparcaseg_dseg.nii.gz"),
        (["func/sub-01_task-rest_space-T1w_desc-aseg_dseg"], None),
        (["anat/sub-01_dseg"], None),
    ],
)
def test_a_segmentation_of_the_t1w_image_that_exists_is_used(names, which, tmp_path, monkeypatch):
    monkeypatch.setattr(choose.fastsurfer, "find_script", lambda home: tmp_path / "run_fastsurfer.sh")
    for name in names:
        path = tmp_path / f"fmriprep/sub-01/{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    if which is None:  # it would be made by FastSurfer, which cannot run here
        monkeypatch.setattr(choose.fastsurfer, "require", lambda home: tmp_path / "run_fastsurfer.sh")
        monkeypatch.setattr(choose.fastsurfer, "check_python", lambda script, python: None)
    result, _, warning = choose.resolve(("auto",), "", "", [tmp_path / "fmriprep"])
    assert result == ((which,) if which else ("fastsurfer",))
    assert warning == ""
    if which:
        run = {"sub": "01"}
        label = which.partition("desc-")[2].partition("_")[0]
        assert existing.find(which, [tmp_path / "fmriprep"], run).name == f"sub-01_desc-{label}_dseg.nii.gz"
