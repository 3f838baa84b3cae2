"""``qsm-bids-app demo``: the demo without a checkout."""

import json

import pytest

from bids_app.cli import main
from bids_app.cli.demo import demo


def without_regions(words):
    """Run the command as the demo asks, but without the registration of the atlas, which takes minutes."""
    assert words[3] == "--atlas" and words[2] == "participant"
    return main([*words[:3], "--segmentation", "none", "--preset", "fast", *words[5:]])


@pytest.mark.slow
def test_the_demo_maps_a_simulated_study_and_scores_it(tmp_path, capfd):
    folder = tmp_path / "demo"
    assert demo([str(folder), "--subjects", "1", "--voxel-size", "4"], without_regions) == 0
    scores = json.loads((folder / "score.json").read_text())
    assert scores and all(score["nrmse"] < 95 for score in scores)
    said = capfd.readouterr().out
    assert f"report: {folder / 'out' / 'sub-01.html'}" in said
    assert (folder / "out" / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").is_file()


def test_what_the_demo_does_not_know_is_a_usage_error(capsys):
    assert main(["demo", "--subject", "1"]) == 2
    assert "see qsm-bids-app demo --help" in capsys.readouterr().err
