"""The app: its steps, its colours, and the keys that work everywhere."""

import os
import sys
import webbrowser
from collections.abc import Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from bids_app.cli.submission import own_command
from bids_app.tui.dialogs import Confirm, Message
from bids_app.tui.plan import Plan
from bids_app.tui.screens.check import CheckScreen
from bids_app.tui.screens.data import DataScreen
from bids_app.tui.screens.options import OptionsScreen
from bids_app.tui.screens.results import ResultsScreen
from bids_app.tui.screens.run import RunScreen
from bids_app.tui.widgets import StepScreen

#: Colours that people with any kind of colour vision distinguish (Okabe and Ito 2008); words and signs say the same.
_THEME = Theme(
    name="qsm",
    primary="#56B4E9",
    secondary="#0072B2",
    accent="#F0E442",
    success="#56B4E9",
    warning="#E69F00",
    error="#D55E00",
    foreground="#E6E6E6",
    background="#101418",
    surface="#171C21",
    panel="#222A31",
    dark=True,
)


class QsmApp(App[None]):
    """Guides from scans to rated maps."""

    TITLE = "QSM BIDS App"
    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    SCREENS: ClassVar[dict[str, Any]] = {
        "data": DataScreen,
        "check": CheckScreen,
        "options": OptionsScreen,
        "run": RunScreen,
        "results": ResultsScreen,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+y", "copy", "Copy", show=False),  # shown next to the command
        Binding("f1", "help", "Help"),
        Binding("ctrl+q", "leave", "Quit", priority=True),
    ]

    def __init__(
        self, folder: Path | None = None, output_dir: Path | None = None, command: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        # It passes stderr on to its helper process. While the app runs, stderr is no file, and starting it then fails.
        resource_tracker.ensure_running()
        self.plan = Plan()
        #: How the command is called; tests put another one here.
        self.own_command = tuple(command or own_command())
        self.given = folder, output_dir

    def on_mount(self) -> None:
        """Start with the data."""
        self.register_theme(_THEME)
        self.theme = "qsm"
        self.push_screen("data")

    def action_go(self, name: str) -> None:
        """Go to a step."""
        if not isinstance(self.screen, StepScreen) or self.screen.step == name:
            return
        if name != "data" and self.plan.output_dir is None:
            self.notify("Choose a folder first.", severity="warning")
            return
        self.switch_screen(name)

    def action_copy(self) -> None:
        """Copy the command to the clipboard."""
        self.copy_to_clipboard(self.plan.command)
        self.notify("The command is in the clipboard.")

    def action_help(self) -> None:
        """Explain the present step."""
        if isinstance(self.screen, StepScreen):
            self.push_screen(Message("Help", self.screen.help_text))

    def action_leave(self) -> None:
        """End the app; ask first where a command runs."""
        run = self.get_screen("run")
        if not (isinstance(run, RunScreen) and run.runs):
            self.exit()
            return

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self.run_worker(self._stop_and_exit(run), exclusive=False)

        self.push_screen(Confirm("The command is running. Stop it and quit?", "Stop and quit"), answered)

    async def _stop_and_exit(self, run: RunScreen) -> None:
        await run.stop()
        self.exit()

    def open_page(self, path: Path | None) -> None:
        """Open a report in the browser; say where it is where no browser can show it."""
        if path is None:
            self.notify("There is no report yet: run the command first.", severity="warning")
        elif not _has_browser():
            self.push_screen(Message("Report", f"There is no browser here. Open this file on your computer:\n\n{path}"))
        elif webbrowser.open(path.as_uri()):
            self.notify(f"Opened {path.name} in the browser.")
        else:
            self.notify(f"The browser did not open {path}.", severity="warning")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say that a background task failed."""
        if event.state is WorkerState.ERROR:
            self.notify(f"{event.worker.error}", title="Error", severity="error", timeout=15)


def _has_browser() -> bool:
    """Return whether a browser has a window of its own: one in this terminal would overwrite the app."""
    windows = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in windows)
