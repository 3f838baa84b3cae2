"""Questions and messages over a screen."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Select, Static

from bids_app.convert.model import PARTS, SeriesOutcome
from bids_app.convert.name.series_table import SKIP, SUFFIXES, name_problem

#: In the choice of a name: a name that is typed.
_OTHER = "other"
_PART_WORDS = {"mag": "magnitude", "phase": "phase", "real": "real part", "imag": "imaginary part"}


class Message(ModalScreen[None]):
    """A text to read."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,f1", "dismiss", "Close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._heading, self._text = title, text

    def compose(self) -> ComposeResult:
        """Make the box."""
        with Vertical(classes="dialog"):
            yield Label(self._heading, classes="heading")
            with VerticalScroll(classes="text"):
                yield Static(self._text, markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Close", variant="primary", id="close", compact=True)

    def on_button_pressed(self) -> None:
        """Close the box."""
        self.dismiss(None)


class Confirm(ModalScreen[bool]):
    """A question with yes and no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(False)", "Cancel")]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question, self._yes = question, yes

    def compose(self) -> ComposeResult:
        """Make the box."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            with Horizontal(classes="buttons"):
                yield Button(self._yes, variant="warning", id="yes", compact=True)
                yield Button("Cancel", id="no", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Return the answer."""
        self.dismiss(event.button.id == "yes")


class Note(ModalScreen[str | None]):
    """A line of text to type."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._heading, self._text = title, text

    def compose(self) -> ComposeResult:
        """Make the box."""
        with Vertical(classes="dialog"):
            yield Label(self._heading, classes="heading", markup=False)
            yield Input(self._text, id="note", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Save", variant="primary", id="save", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_input_submitted(self) -> None:
        """Return the text."""
        self.dismiss(self.query_one(Input).value.strip())

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Return the text, or nothing."""
        self.dismiss(self.query_one(Input).value.strip() if event.button.id == "save" else None)


class Relabel(ModalScreen[tuple[str, str] | None]):
    """What a series becomes: a name and a part, empty for the decision of the app."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, outcome: SeriesOutcome, name: str, part: str) -> None:
        super().__init__()
        self._outcome, self._name_of_series, self._part = outcome, name, part

    def compose(self) -> ComposeResult:
        """Make the box."""
        known = (SKIP, *SUFFIXES)
        chosen = self._name_of_series if self._name_of_series in ("", *known) else _OTHER
        names = [("decide by the headers", ""), ("leave it out", SKIP)]
        names += [(f"{suffix} image", suffix) for suffix in SUFFIXES] + [("another name, typed below", _OTHER)]
        parts = [("as the header says", ""), *((_PART_WORDS[part], part) for part in PARTS)]
        with Vertical(classes="dialog"):
            yield Label(self._outcome.title, classes="heading", markup=False)
            yield Label("It becomes")
            yield Select(names, value=chosen, allow_blank=False, id="name", compact=True)
            typed = self._name_of_series if chosen == _OTHER else ""
            yield Input(typed, placeholder="acq-fine_run-2_MEGRE", id="typed", compact=True)
            yield Label("It holds")
            yield Select(parts, value=self._part, allow_blank=False, id="part", compact=True)
            yield Label("", id="wrong", classes="problem", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Save", variant="primary", id="save", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Show the line for a typed name where one is wanted."""
        self._show_typed()

    def on_select_changed(self) -> None:
        """Show the line for a typed name where one is wanted."""
        self._show_typed()

    def _show_typed(self) -> None:
        self.query_one("#typed", Input).display = self.query_one("#name", Select).value == _OTHER

    def on_input_submitted(self) -> None:
        """Save what was typed."""
        self._save()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Return what was chosen, or nothing."""
        if event.button.id == "save":
            self._save()
        else:
            self.dismiss(None)

    def _save(self) -> None:
        name = str(self.query_one("#name", Select).value)
        if name == _OTHER:
            name = self.query_one("#typed", Input).value.strip()
            problem = name_problem(name) if name else "type a name"
            if problem:
                self.query_one("#wrong", Label).update(problem)
                return
        self.dismiss((name, str(self.query_one("#part", Select).value)))
