"""Parts that all screens share: the row of steps, the command, and the frame of a screen."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.suggester import Suggester
from textual.widgets import Checkbox, DirectoryTree, Footer, Static

from bids_app.derivatives.presence import is_system_file

if TYPE_CHECKING:
    from bids_app.tui.app import QsmApp

#: The steps in their order: name of the screen and title.
STEPS = (("data", "Data"), ("check", "Check"), ("options", "Options"), ("run", "Run"), ("results", "Results"))


class StepTitle(Static):
    """One step in the row; a click goes there."""

    def __init__(self, number: int, name: str, title: str, is_current: bool) -> None:
        mark = "▶" if is_current else " "
        super().__init__(f"{mark}{number} {title} ", classes="current" if is_current else "", markup=False)
        self._target = name

    def on_click(self) -> None:
        """Go to the step."""
        cast("QsmApp", self.app).action_go(self._target)


class CommandBar(VerticalScroll):
    """The command that does what has been chosen; a click copies it."""

    can_focus = False

    def compose(self) -> ComposeResult:
        """Make the text."""
        yield Static(id="command", markup=False)

    def show(self, command: str) -> None:
        """Show a command."""
        self.query_one("#command", Static).update(Content.assemble(("^y copies", "dim"), " $ ", command))

    def on_click(self) -> None:
        """Copy the command."""
        cast("QsmApp", self.app).action_copy()


class StepScreen(Screen[None]):
    """The frame of a step: the row of steps, the content, the command, the keys."""

    step: ClassVar[str]
    #: What ``F1`` says.
    help_text: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "next", "Next", priority=True),
        Binding("escape", "previous", "Back"),
    ]

    @property
    def qsm(self) -> "QsmApp":
        """The app, by its own type."""
        return cast("QsmApp", self.app)

    def compose(self) -> ComposeResult:
        """Make the frame."""
        with Vertical(id="steps"):
            for number, (name, title) in enumerate(STEPS, start=1):
                yield StepTitle(number, name, title, name == self.step)
        with Vertical(id="body"):
            yield from self.body()
        yield CommandBar()
        yield Footer()

    def body(self) -> ComposeResult:
        """Make the content."""
        raise NotImplementedError

    def on_screen_resume(self) -> None:
        """Show what other screens have changed."""
        self.show_command()
        self.enter()

    def enter(self) -> None:
        """Do what is due when the user comes to the step."""

    def show_command(self) -> None:
        """Show the command of the plan."""
        self.query_one(CommandBar).show(self.qsm.plan.command)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer no step before the first and after the last."""
        ends = {"previous": STEPS[0][0], "next": STEPS[-1][0]}
        return ends.get(action) != self.step

    def action_next(self) -> None:
        """Go to the next step."""
        self._go(1)

    def action_previous(self) -> None:
        """Go to the step before."""
        self._go(-1)

    def _go(self, by: int) -> None:
        names = [name for name, _ in STEPS]
        place = names.index(self.step) + by
        if 0 <= place < len(names):
            self.qsm.action_go(names[place])


class Tick(Checkbox):
    """A checkbox whose box is empty while it is off: colours alone say nothing to many people."""

    BUTTON_LEFT, BUTTON_INNER, BUTTON_RIGHT = "", "[ ]", ""

    def watch_value(self) -> None:
        """Fill the box or empty it."""
        self.BUTTON_INNER = "[x]" if self.value else "[ ]"
        super().watch_value()


class FolderTree(DirectoryTree):
    """Folders alone, without hidden ones."""

    ICON_NODE, ICON_NODE_EXPANDED, ICON_FILE = "▸ ", "▾ ", "  "
    BINDINGS: ClassVar[list[BindingType]] = [Binding("backspace", "up", "Folder above")]

    def action_up(self) -> None:
        """Show the folder above."""
        self.path = Path(self.path).absolute().parent

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """Leave out files and hidden folders."""
        return [path for path in paths if not is_system_file(path.name) and _is_folder(path)]


class FolderSuggester(Suggester):
    """Completes the path of a folder while it is typed."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """Return the first folder whose path starts with what was typed."""
        start = Path(value).expanduser()
        parent, name = (start, "") if value.endswith("/") else (start.parent, start.name)
        try:
            names = sorted(p.name for p in parent.iterdir() if p.name.startswith(name) and _is_folder(p))
        except OSError:
            return None
        visible = [folder for folder in names if not is_system_file(folder)]
        return str(parent / visible[0]) if name and visible else None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
