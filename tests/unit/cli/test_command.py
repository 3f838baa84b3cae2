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
