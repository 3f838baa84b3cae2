"""A package that is not installed is named with the command that installs it."""

import builtins

import pytest

from bids_app.cli.command import main
from bids_app.engine.execution import sentence_of


@pytest.mark.parametrize(
    ("module", "package"), [("statsmodels.formula.api", "statsmodels"), ("ants", "antspyx"), ("bids.layout", "pybids")]
)
def test_a_step_names_the_package(module, package):
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert sentence_of(error) == f"the Python package {package} is not installed: pip install {package}"


def test_the_command_ends_with_the_code_of_a_missing_tool(monkeypatch, tmp_path, capsys):
    plain = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "bids_app.cli.app":  # what it imports may be missing
            raise ModuleNotFoundError("No module named 'ants'", name="ants")
        return plain(name, *arguments, **keywords)

    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    monkeypatch.setattr(builtins, "__import__", without)
    assert main([str(tmp_path), str(tmp_path / "out"), "participant", "--dry-run"]) == 4
    assert capsys.readouterr().err == "qsm-bids-app: the Python package antspyx is not installed: pip install antspyx\n"
