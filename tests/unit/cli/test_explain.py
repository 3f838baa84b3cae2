"""``--explain``: sections, methods and parameters explained from their declarations."""

import dataclasses

import pytest

from bids_app.cli.explain import explain
from bids_app.cli.options import build_parser
from bids_app.errors import UsageError
from bids_app.model.settings import Settings, methods_of


def test_a_method_is_explained_with_parameters_maturity_and_doi():
    text = explain("inversion.medi")
    assert text.startswith("MEDI: ")
    assert "(Liu et al. 2012; Liu et al. 2013)" in text
    assert "maturity: published" in text and "doi:10.1002/mrm.24272" in text
    assert "inversion.medi.phase_scale = 16.0 rad/ppm; 0.1 to 1000 rad/ppm\n    Phase of one ppm" in text
    assert "maturity: this software's own" in explain("inversion.bayes")
    assert "corrections above 0 adds a stage that is this software's own" in explain("background.lbv")


def test_a_section_lists_its_choices_and_methods():
    text = explain("inversion")
    assert "inversion.method = bayes; one of bayes, " in text
    for method in methods_of("inversion"):
        assert f"\n  {method.name} " in text
    assert "[this software's own]" in text


def test_a_correction_is_explained_with_its_choice():
    text = explain("background.boundary_sources")
    assert text.startswith("background.boundary_sources = separate; one of separate, keep")
    assert "maturity: this software's own" in text


def test_one_parameter_is_explained():
    assert explain("background.lbv.corrections").startswith("background.lbv.corrections = 3; 0 to 20\n    ")


@pytest.mark.parametrize("name", Settings().sections)
def test_everything_can_be_explained(name):
    section = Settings().sections[name]
    assert explain(name).startswith(f"{name}: ")
    assert f"\n{name} " in "\n" + explain("list")
    for field in dataclasses.fields(section.choice):
        assert explain(f"{name}.{field.name}").startswith(f"{name}.{field.name} = ")
    for method, params in section.methods.items():
        text = explain(f"{name}.{method}")
        assert "{" not in text
        for field in dataclasses.fields(params):
            assert f"\n{name}.{method}.{field.name} = " in text


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("invertion", "did you mean 'inversion'"),
        ("inversion.mdei", "did you mean 'medi'"),
        ("inversion.medi.lamda", "did you mean 'lambda_'"),
        ("inversion.medi.edges.more", "no inversion.medi.edges.more"),
    ],
)
def test_a_wrong_name_gets_the_nearest_one(name, says):
    with pytest.raises(UsageError, match=says):
        explain(name)


def test_the_option_prints_and_ends_before_the_positional_arguments(capsys):
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["--explain", "inversion.rts.delta"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("inversion.rts.delta = 0.15")


def test_the_section_of_a_method_can_be_left_out():
    assert explain("rts") == explain("inversion.rts")
    assert explain("rts.delta") == explain("inversion.rts.delta")
    with pytest.raises(UsageError, match=r"no section or method 'invers': did you mean 'inversion'"):
        explain("invers")
    with pytest.raises(UsageError, match=r"no section or method 'zzz': valid: background, "):
        explain("zzz")
