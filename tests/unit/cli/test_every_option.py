"""Every option of the command with values that none means: a sentence or a value, and numbers in a range."""

import pytest

from bids_app.cli.config import from_arguments
from bids_app.cli.options import build_parser
from bids_app.errors import QsmAppError

ODD = ("", " ", "nan", "inf", "-1", "0", "1e300", "x", "9" * 400, "[", "a\nb", "\x01", "{0.__class__}", "/")
OPTIONS = {
    max(action.option_strings, key=len): action
    for action in build_parser()._actions
    if action.option_strings and action.nargs != 0 and action.dest not in ("show_preset", "explain")
}
#: Options that take a number: no odd value is one, but for 0 where it means something.
NUMBERS = ("--nprocs", "--omp-nthreads", "--mem", "--permutations", "--array-limit", "--array-at-once", "--stage-part")
FROM_ZERO = ("--roi-erosion", "--stage-patience")


@pytest.fixture
def accepted(tmp_path, monkeypatch):
    (tmp_path / "bids" / "sub-01").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def of(flag):
        """Return the odd values that an option takes; the others are refused in one sentence."""
        taken, count = [], OPTIONS[flag].nargs if isinstance(OPTIONS[flag].nargs, int) else 1
        for value in ODD:
            words = [flag, *[value] * count] if count > 1 else [f"{flag}={value}"]
            try:
                from_arguments(build_parser().parse_args(["bids", "out", "participant", *words]))
                taken.append(value)
            except QsmAppError as error:
                said = str(error).removesuffix("\nsee qsm-bids-app --help")
                assert said and len(said) < 900 and "Errno" not in said and "NoneType" not in said
        return taken

    return of


@pytest.mark.parametrize("flag", OPTIONS)
def test_what_is_no_value_is_refused_in_a_sentence(accepted, flag):
    taken = accepted(flag)
    assert "" not in taken
    if flag in NUMBERS:
        assert taken == []
    elif flag in FROM_ZERO:
        assert taken == ["0"]


def test_the_numbers_are_all_listed():
    """A new option that takes a number belongs into one of the lists."""
    import inspect

    numeric = set()
    for flag, action in OPTIONS.items():
        kind = action.type
        kind = inspect.signature(kind).return_annotation if callable(kind) and not isinstance(kind, type) else kind
        if kind in (int, float, tuple[int, int]):
            numeric.add(flag)
    assert numeric == {*NUMBERS, *FROM_ZERO, "--template-iterations"}
    assert all(action.type not in (int, float, str, None) for action in OPTIONS.values() if action.choices is None)
