"""The command around what it runs: signals."""

import signal

import pytest

from bids_app.cli.command import main


def test_signals_of_the_caller_are_its_own_again(capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_name_that_no_file_can_have_is_a_usage_error(capsys):
    assert main(["--show-preset", "x" * 5000]) == 2
    assert capsys.readouterr().err.startswith("qsm-bids-app: a name of the command line is too long for a file: 'xxx")
