"""The terminal app in a real terminal: from a DICOM folder to a rated map, by keys alone."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bids_app.derivatives.ratings import read_ratings
from tests.helpers import dicom

ROOT = Path(__file__).parents[2]


class Terminal:
    """A terminal of 80 columns and 24 lines in tmux, on a socket of its own."""

    def __init__(self, folder, words):
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        variables = {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
        unset = [word for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER") for word in ("-u", name)]
        command = shlex.join(["env", *unset, *(f"{k}={v}" for k, v in variables.items()), *words])
        self._do("new-session", "-d", "-x", "80", "-y", "24", command)

    def _do(self, *words):
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=False, cwd=ROOT)
        return done.stdout if done.returncode == 0 else None

    def keys(self, *keys):
        """Press keys as fast as a person does: each is for what the one before has made."""
        for key in keys:
            self._do("send-keys", key)
            time.sleep(0.5)

    def type(self, text):
        self._do("send-keys", "-l", "--", text)

    def screen(self):
        """Return what is on the screen; None where the app has ended."""
        return self._do("capture-pane", "-p")

    def wait(self, text, seconds=60):
        end = time.monotonic() + seconds
        while text not in (self.screen() or ""):
            assert time.monotonic() < end, f"{text!r} does not come:\n{self.screen()}"
            time.sleep(0.2)

    def close(self):
        self._do("kill-server")


@pytest.fixture
def terminal(tmp_path):
    pytest.importorskip("textual", reason="textual is not installed")
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    dicom.siemens_gre(tmp_path / "dicom", dicom.Scanner(shape=(32, 32, 24)))
    terminal = Terminal(tmp_path, [sys.executable, "-m", "bids_app", "tui", str(tmp_path / "dicom")])
    yield terminal
    terminal.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="tmux needs a POSIX system")
def test_from_a_dicom_folder_to_a_rated_map(terminal, tmp_path):
    results = tmp_path / "bids" / "derivatives" / "qsm"
    terminal.wait("✓ dicom: DICOM files.")
    terminal.keys("C-n")
    terminal.wait("2 would be converted")
    terminal.keys("C-n")
    terminal.wait("Parameters of field")
    for option, value in (("--segmentation", "none"), ("--omp-nthreads", "1")):
        terminal.keys("C-g", "C-u")
        terminal.type(option)
        terminal.wait(f"  {option}")
        terminal.keys("Enter", "Enter")
        terminal.type(value)
        terminal.wait(f"● {option} {value}")
        terminal.keys("Enter")
    terminal.keys("C-n")
    terminal.wait("Ready: convert, then participant.")
    terminal.keys("s")
    terminal.wait("All done.", 400)
    terminal.keys("C-n")
    terminal.wait("1 scans:")
    terminal.keys("o")
    terminal.wait("There is no browser here.")
    assert (results / "sub-P001.html").is_file()
    terminal.keys("Escape", "g")
    terminal.wait("✓ good")
    assert read_ratings([results / "ratings.tsv"])["sub-P001"].rating == "good"
    terminal.keys("C-q")
    end = time.monotonic() + 20
    while terminal.screen() is not None:
        assert time.monotonic() < end, "the app does not end"
        time.sleep(0.2)
