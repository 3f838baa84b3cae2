"""Fetching the default atlas, with a stand-in for TemplateFlow's network."""

import nibabel
import numpy as np
import pytest

from bids_app.adapters import atlas, fetch
from bids_app.errors import ToolMissingError


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A TemplateFlow that makes the files it is asked for; ``missing`` names suffixes that it does not have."""
    api = pytest.importorskip("templateflow.api")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    atlas.find.cache_clear()
    folder = tmp_path / f"tpl-{atlas.DEFAULT_TEMPLATE}"
    missing = set()

    def get(template, **query):
        folder.mkdir(exist_ok=True)
        if query["suffix"] in missing:
            return []
        words = [f"tpl-{template}", "res-01" if "resolution" in query else ""]
        words += [f"{key}-{query[key]}" for key in ("atlas", "desc") if query.get(key)]
        path = folder / ("_".join([*filter(None, words), query["suffix"]]) + query["extension"])
        if query["extension"] == ".tsv":
            path.write_text("index\tname\n1\tLeft Putamen\n")
        else:
            nibabel.save(nibabel.Nifti1Image(np.ones((3, 3, 3), np.int16), np.eye(4)), path)
        return path

    monkeypatch.setattr(api, "get", get)
    return missing


def test_what_is_fetched_is_the_default_atlas(network, capsys):
    assert fetch.main() == 0
    assert len(capsys.readouterr().out.split()) == 4
    assert atlas.default() == atlas.DEFAULT_TEMPLATE
    ((_, image, table),) = atlas.find(atlas.DEFAULT_TEMPLATE).segmentations
    assert fetch.SEGMENTATION in image.name
    assert table.suffix == ".tsv"


@pytest.mark.parametrize("suffix", ["T1w", "dseg"])
def test_a_missing_file_fails_the_build_with_a_sentence(network, suffix, capsys):
    network.add(suffix)
    assert fetch.main() == ToolMissingError.exit_code
    assert "TemplateFlow has no file" in capsys.readouterr().err
