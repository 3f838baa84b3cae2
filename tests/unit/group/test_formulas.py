"""A model is read by a grammar; nothing else of it is ever evaluated."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.cli.command import main
from bids_app.errors import QsmAppError, UsageError
from bids_app.group.formulas import FUNCTIONS, parse_formula
from bids_app.group.statistics import design_of
from bids_app.group.voxelwise import terms_of

GOOD = {
    "chi ~ age": ("chi", "age"),
    "chi ~ age + sex - 1": ("chi", "age", "sex"),
    "chi~0+C(group,Treatment('b')):age": ("chi", "group", "age"),
    "chi ~ (age + sex)**2 / group": ("chi", "age", "sex", "group"),
    "log(chi) ~ center(age) + I(2 * age ** 2 - 1.5e1) + np.log(age) + scale(-age)": ("chi", "age"),
    "chi ~ bs(age, df=4) + cr(age, df=3) + Q('weight (kg)')": ("chi", "age", "weight (kg)"),
    "chi ~ größe + C(group, Sum) + C(sex, Treatment(reference='F'))": ("chi", "größe", "group", "sex"),
}
ATTACKS = (
    "chi ~ __import__('os').system('touch {}')",
    "chi ~ age + I(__import__('os').system('touch {}'))",
    "chi ~ I(open('{}', 'w'))",
    "chi ~ open",
    "chi ~ np.os.system('touch {}')",
    "chi ~ np.log.__class__",
    "chi ~ age.__class__",
    "chi ~ [x for x in (1,)]",
    "chi ~ (lambda: 1)()",
    "chi ~ C(age, __import__('os'))",
    "chi ~ Q('age'.__class__)",
    "chi ~ eval('1')",
    'chi ~ f"{{age}}"',
    "chi ~ I(age if 1 else 2)",
    "chi ~ age; import os",
    "chi ~ `age`",
    "chi ~ I(9**9**9**9)",
    "chi ~ I(age ** 99999999)",
    "chi ~ bs(age, df=100000000)",
    "chi ~ (age + sex) ** 500",
    "chi ~ I(1e400)",
    "chi ~ " + "(" * 500 + "age" + ")" * 500,
    "chi ~ " + "age + " * 2000 + "age",
)


@pytest.mark.parametrize("text", GOOD)
def test_models_that_people_write(text):
    assert parse_formula(text).names == GOOD[text]


@pytest.mark.parametrize("text", ATTACKS)
def test_code_is_refused_and_never_runs(text, tmp_path):
    target = tmp_path / "made"
    text = text.format(target)
    data = pd.DataFrame({"chi": np.arange(6.0), "age": [1.0, 3, 2, 5, 4, 7]})
    with pytest.raises(QsmAppError):
        design_of(data, text)
    if text != "chi ~ open":  # no column of this name: known once there is a table
        with pytest.raises(UsageError):
            terms_of(text)
    assert not target.exists()


def test_the_message_names_the_place_and_the_exit_code_is_2(tmp_path, capsys):
    words = [str(tmp_path), str(tmp_path / "out"), "group", "--model"]
    assert main([*words, "chi ~ age + __import__('os').system('true')"]) == 2
    said = capsys.readouterr().err
    assert "at character 13" in said and "'__import__'" in said and "log" in said
    assert main([*words, "chi"]) == 2
    assert "chi ~ age + sex" in capsys.readouterr().err


def test_functions_do_what_they_say():
    data = pd.DataFrame({"chi": np.arange(6.0), "age": [1.0, 3, 2, 5, 4, 7], "w (kg)": [3.0, 1, 4, 1, 5, 9]})
    model = design_of(data, "chi ~ log(age) + center(age) + Q('w (kg)')")
    columns = dict(zip(model.exog_names, np.asarray(model.exog).T, strict=True))
    np.testing.assert_allclose(columns["log(age)"], np.log(data["age"]))
    assert abs(columns["center(age)"].mean()) < 1e-12


def test_a_column_hides_the_names_of_the_program():
    """Neither builtins nor names of our own code stand for a column that is not there."""
    data = pd.DataFrame({"chi": np.arange(6.0), "age": [1.0, 3, 2, 5, 4, 7]})
    for name in ("open", "part", "formula", "np", "print", "log"):
        with pytest.raises(QsmAppError, match="is not defined; the columns are chi, age"):
            design_of(data, f"chi ~ {name}")


_PIECES = st.sampled_from(
    ["chi", "age", "~", "+", "(", ")", "**", "2", "log", "'a'", ",", "=", ".", "__x__", "\\", "C", " "]
)


@given(st.lists(_PIECES, max_size=15).map("".join) | st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_sentence(text):
    try:
        formula = parse_formula(text)
    except UsageError as error:
        assert "the model" in str(error)
    else:
        assert "~" in text and all((name and name not in FUNCTIONS) or name in text for name in formula.names)
