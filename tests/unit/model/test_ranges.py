"""Every parameter of the settings refuses what is no value of it, in one sentence that names it."""

from dataclasses import fields

import pytest

from bids_app.errors import UsageError
from bids_app.model.settings import Settings, build_settings

ODD = (float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), "x", "", None, [1], {"a": 1})


def parameters():
    for section, values in Settings().sections.items():
        for prefix, params in (
            (section, values.choice),
            *((f"{section}.{name}", p) for name, p in values.methods.items()),
        ):
            for field in fields(params):
                yield prefix, field


def tree_of(prefix, name, value):
    section, _, method = prefix.partition(".")
    return {section: {method: {name: value}} if method else {name: value}}


@pytest.mark.parametrize(
    ("prefix", "field"),
    [pytest.param(p, f, id=f"{p}.{f.name}") for p, f in parameters() if not isinstance(f.default, str | tuple)],
)
def test_numbers_have_a_range_and_refuse_what_is_none(prefix, field):
    low, high = field.metadata["low"], field.metadata["high"]
    is_switch = isinstance(field.default, bool)
    assert is_switch or (low is not None and high is not None), "a parameter without a range"
    outside = [] if is_switch else [high + max(1, abs(high)), low - max(1, abs(low)), True]
    for value in (*ODD, *outside, *([0.5] if isinstance(field.default, int) else [])):
        with pytest.raises(UsageError) as caught:
            build_settings(tree_of(prefix, field.name, value))
        said = str(caught.value)
        assert field.name in said and "\n" not in said and len(said) < 300


@pytest.mark.parametrize(
    ("prefix", "field"),
    [pytest.param(p, f, id=f"{p}.{f.name}") for p, f in parameters() if isinstance(f.default, str | tuple)],
)
def test_texts_are_texts_and_choices_are_known(prefix, field):
    wrong = [1.5, {"a": 1}, None, [1]]
    if field.metadata.get("choices"):
        wrong += ["nowhere", "", "\n"]
    for value in wrong:
        with pytest.raises(UsageError) as caught:
            build_settings(tree_of(prefix, field.name, value))
        assert field.name in str(caught.value)
