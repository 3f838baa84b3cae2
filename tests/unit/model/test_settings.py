"""Presets, the parameter tree and its errors."""

import pytest

from bids_app.errors import UsageError
from bids_app.model.settings import build_settings, merge, parse_set, preset_names, preset_text


def test_every_preset_is_valid():
    import tomllib

    for name in preset_names():
        tree = tomllib.loads(preset_text(name))
        assert tree.pop("title") == name
        assert build_settings(tree).inversion.choice.method


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
        ("inversion.per_echo=true", "needs field.keep_phase=true"),
        ("inversion", "expected section.name=value"),
    ],
)
def test_mistakes_name_the_nearest_valid_word(assignment, says):
    with pytest.raises(UsageError, match=says):
        build_settings(parse_set(assignment))


def test_an_echo_of_its_own_needs_turns_that_were_counted_unless_the_method_takes_phase():
    tree = {"field": {"keep_phase": True, "unwrap": "laplacian"}, "inversion": {"per_echo": True}}
    with pytest.raises(UsageError, match=r"needs the turns of each echo: set field\.unwrap=romeo"):
        build_settings(tree)
    tgv = {"background": {"method": "none"}, "inversion": {"per_echo": True, "method": "tgv"}}
    for right in (tree | {"field": {"keep_phase": True}}, tree | tgv):
        assert build_settings(right).inversion.choice.per_echo
