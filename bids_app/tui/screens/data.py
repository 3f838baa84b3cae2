"""Step 1: which folder, where the results go, and what is done."""

from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.widgets import Button, Checkbox, DirectoryTree, Input, Label, Static

from bids_app.cli.options import LEVELS
from bids_app.tui.look import Sight, identify
from bids_app.tui.plan import RESULTS, SOURCES
from bids_app.tui.widgets import FolderSuggester, FolderTree, StepScreen, Tick

_WHAT = {"convert": "scans to BIDS", "participant": "map each person", "group": "compare people"}
_HELP = """\
Choose the folder with your data: type it, or pick it in the tree with the arrow keys and Enter, or with the \
mouse.

It can be a BIDS dataset, a folder with DICOM files in any order, or a folder with NIfTI files of dcm2niix. The \
app says what it sees. Scans are converted to a BIDS dataset first; your files are never changed.

Then say where the results go, and go on with Ctrl+N. Ctrl+N and Esc lead from step to step. Tab moves between \
the parts of a screen. The line at the bottom is the command that does the same without this app; Ctrl+Y copies \
it."""


class DataScreen(StepScreen):
    """Chooses folders and levels."""

    step = "data"
    help_text = _HELP

    def body(self) -> ComposeResult:
        """Make the fields."""
        with Horizontal(classes="field"):
            yield Label("Folder with the data")
            yield Input(
                id="folder", placeholder="type a path, or choose below", suggester=FolderSuggester(), compact=True
            )
        with Horizontal(id="choose"):
            yield FolderTree(Path.cwd(), id="tree")
            with Vertical(id="seen"):
                yield Static("Which data do you have? Choose its folder.", id="sight", markup=False)
                yield Label("What is done", classes="heading")
                for level in LEVELS:
                    yield Tick(f"{level}: {_WHAT[level]}", id=level, compact=True)
                yield Button("Next: check the data", id="next", variant="primary", compact=True, disabled=True)
        with Horizontal(classes="field", id="bids-field"):
            yield Label("BIDS dataset to make")
            yield Input(id="bids", suggester=FolderSuggester(), compact=True)
        with Horizontal(classes="field"):
            yield Label("Results go to")
            yield Input(id="results", suggester=FolderSuggester(), compact=True)

    def on_mount(self) -> None:
        """Take the folder of the command line."""
        folder, output_dir = self.qsm.given
        self._show_plan()
        if folder is not None:
            self._choose(folder, output_dir)
        self.query_one("#folder", Input).focus()

    def on_key(self, event: Key) -> None:
        """Go from the field of the folder down into the tree."""
        if event.key == "down" and self.focused is self.query_one("#folder"):
            event.stop()
            tree = self.query_one(FolderTree)
            tree.focus()
            tree.action_cursor_down()

    @on(Input.Submitted, "#folder")
    def _typed(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self._choose(Path(event.value.strip()).expanduser().absolute())

    @on(DirectoryTree.DirectorySelected)
    def _picked(self, event: DirectoryTree.DirectorySelected) -> None:
        self._choose(event.path.absolute())

    def _choose(self, folder: Path, output_dir: Path | None = None) -> None:
        self.query_one("#folder", Input).value = str(folder)
        self.query_one("#sight", Static).update("Looking at the files ...")
        tree = self.query_one(FolderTree)
        if Path(tree.path).absolute() not in folder.parents:
            tree.path = folder.parent
        self._look(folder, output_dir)

    @work(thread=True, exclusive=True, group="look")
    def _look(self, folder: Path, output_dir: Path | None) -> None:
        sight = identify(folder)
        self.app.call_from_thread(self._seen, folder, sight, output_dir)

    def _seen(self, folder: Path, sight: Sight, output_dir: Path | None) -> None:
        text = self.query_one("#sight", Static)
        text.update(f"{'✓' if sight.kind else '✗'} {folder.name or folder}: {sight.sentence}")
        text.set_class(not sight.kind, "problem")
        if sight.kind:
            plan = self.qsm.plan
            plan.take(folder, sight.kind, sight.bids_dir)
            if output_dir is not None:
                plan.output_dir = output_dir
            self._show_plan()
        button = self.query_one("#next", Button)
        button.disabled = not sight.kind
        button.label = "Next: look at the results" if sight.kind == RESULTS else "Next: check the data"

    def _show_plan(self) -> None:
        plan = self.qsm.plan
        self.query_one("#bids-field").display = plan.kind in SOURCES
        with self.prevent(Input.Changed, Checkbox.Changed):
            self.query_one("#bids", Input).value = str(plan.bids_dir or "")
            self.query_one("#results", Input).value = str(plan.output_dir or "")
            for level in LEVELS:
                box = self.query_one(f"#{level}", Checkbox)
                box.value = level in plan.levels
                box.disabled = level == "convert" and plan.kind not in SOURCES
        self.show_command()

    @on(Input.Changed, "#bids")
    def _bids_typed(self, event: Input.Changed) -> None:
        if event.value.strip():
            self.qsm.plan.bids_dir = Path(event.value.strip()).expanduser().absolute()
            self.show_command()

    @on(Input.Changed, "#results")
    def _output_typed(self, event: Input.Changed) -> None:
        if event.value.strip():
            self.qsm.plan.output_dir = Path(event.value.strip()).expanduser().absolute()
            self.show_command()

    @on(Checkbox.Changed)
    def _level_chosen(self, event: Checkbox.Changed) -> None:
        self.qsm.plan.set_level(str(event.checkbox.id), event.value)
        self.show_command()

    @on(Button.Pressed, "#next")
    def _go_on(self) -> None:
        self.action_next()

    def action_next(self) -> None:
        """Go to the check; with results straight to them."""
        if not self.qsm.plan.levels:
            self.notify("Choose at least one thing to do.", severity="warning")
            return
        self.qsm.action_go("results" if self.qsm.plan.kind == RESULTS else "check")
