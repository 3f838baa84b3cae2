"""Presets, the parameter tree, its types and its errors."""

import subprocess
import sys
import tomllib

import pytest

from bids_app.errors import UsageError
from bids_app.model.aliases import with_new_names
from bids_app.model.settings import Settings, build_settings, merge, parse_set, preset_names, preset_text
from bids_app.qsm import BACKGROUND, FIELD_FITS, INVERSIONS, UNWRAP


def test_every_preset_is_valid():
    for name in preset_names():
        tree = tomllib.loads(preset_text(name))
        assert tree.pop("title") == name
        assert build_settings(tree).inversion.choice.method


@pytest.mark.parametrize("name", preset_names())
def test_no_preset_repeats_a_default_or_uses_an_old_name(name):
    tree = tomllib.loads(preset_text(name))
    del tree["title"]
    assert with_new_names(tree, name) == (tree, ())
    sections = Settings().sections
    for section, values in tree.items():
        for key, value in values.items():
            if isinstance(value, dict):
                params = sections[section].methods[key].to_mapping()
                assert [k for k, v in value.items() if params[k] == v] == [], f"{section}.{key}"
            else:
                assert getattr(sections[section].choice, key) != value, f"{section}.{key}"


def test_the_preset_default_is_what_the_classes_say():
    assert tomllib.loads(preset_text("default")) == {"title": "default"}
    assert build_settings({}) == Settings()


def test_the_preset_consensus_has_published_methods_alone():
    tree = tomllib.loads(preset_text("consensus"))
    del tree["title"]
    settings = build_settings(tree)
    background = settings.background.choice
    for stage in ("alternation", "transmit_receive_phase", "boundary_sources", "null_space_trend"):
        assert getattr(background, stage) == "keep", stage
    assert not BACKGROUND[background.method].is_own and not BACKGROUND[background.method].stages
    assert not INVERSIONS[settings.inversion.choice.method].is_own
    assert not UNWRAP[settings.field.choice.unwrap].is_own and not FIELD_FITS[settings.field.choice.fit].is_own
    assert settings.reference.choice.region == "mask"


SNIPPET = """
from bids_app.model.settings import Settings
from bids_app.qsm.inversion.rts import RTS

settings = Settings()
delta: float = settings.inversion.of(RTS).delta
method: str = settings.inversion.choice.method
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "attribute"),
    [
        ("", ""),
        ("settings.invertion", "invertion"),
        ("settings.inversion.choice.metod", "metod"),
        ("settings.inversion.of(RTS).dleta", "dleta"),
    ],
)
def test_a_misspelled_attribute_is_an_error_of_the_type_checker(tmp_path, line, attribute):
    path = tmp_path / "snippet.py"
    path.write_text(f"{SNIPPET}{line}\n")
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) == (not attribute), done.stdout
    assert f'has no attribute "{attribute}"' in done.stdout or not attribute


def test_set_reaches_the_method():
    tree = merge(parse_set("inversion.rts.delta=0.2"), parse_set("inversion.method=rts"))
    settings = build_settings(tree)
    assert settings.inversion.of("rts").delta == 0.2
    assert settings.to_mapping()["inversion"]["rts"]["delta"] == 0.2
    assert "tkd" not in settings.to_mapping()["inversion"]


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("inversion.metod=rts", "did you mean 'method'"),
        ("inversion.method=rst", "did you mean 'rts'"),
        ("invertion.method=rts", "did you mean 'inversion'"),
        ("inversion.rts.delta=9", "between"),
        ("mask.filled='quality,otsy:1'", "did you mean 'otsu'"),
        ("inversion.method=tgv", "set background.method=none"),
        ("background.method=none", "needs a background method before it"),
        ("inversion", "expected section.name=value"),
    ],
)
def test_mistakes_name_the_nearest_valid_word(assignment, says):
    with pytest.raises(UsageError, match=says):
        build_settings(parse_set(assignment))


def test_an_echo_of_its_own_needs_turns_that_were_counted_unless_the_method_takes_phase():
    tree = {"field": {"unwrap": "laplacian"}, "inversion": {"per_echo": True}}
    with pytest.raises(UsageError, match=r"needs the unwrapped phase of each echo: set field\.unwrap=romeo"):
        build_settings(tree)
    tgv = {"background": {"method": "none"}, "inversion": {"per_echo": True, "method": "tgv"}}
    for right in (tree | {"field": {"unwrap": "romeo"}}, tree | tgv):
        assert build_settings(right).inversion.choice.per_echo
