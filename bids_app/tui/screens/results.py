"""Step 5: reports, quality control, and the user's rating of every map."""

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, DataTable, Static

from bids_app.derivatives.ratings import RATINGS, Rating
from bids_app.errors import QsmAppError
from bids_app.tui.dialogs import Note
from bids_app.tui.quality import Quality, described, qualities, rate, ratings, report_of
from bids_app.tui.widgets import StepScreen

_SIGNS = {"good": "✓ good", "usable": "○ usable", "exclude": "✗ exclude", "": "not rated"}
_HELP = """\
Every map has metrics with expected ranges. ▲ marks maps with metrics out of their range; the text below says \
what that usually comes from. A flag removes nothing: you decide.

Open the report with O, look at the map, and rate it: G good, U usable, X exclude, R removes your rating, N adds \
a note. Your ratings are kept in ratings.tsv in the folder of results. The group level leaves out excluded scans and \
says so."""


class ResultsScreen(StepScreen):
    """Browses quality control and keeps ratings."""

    step = "results"
    help_text = _HELP
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "rate('good')", "Good"),
        Binding("u", "rate('usable')", "Usable"),
        Binding("x", "rate('exclude')", "Exclude"),
        Binding("r", "rate('')", "Unrate", show=False),
        Binding("n", "note", "Note"),
        Binding("o", "open", "Report"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._qualities: list[Quality] = []
        self._ratings: dict[str, Rating] = {}

    def body(self) -> ComposeResult:
        """Make the table and the text below it."""
        with Horizontal(classes="line"):
            yield Static("", id="summary", markup=False)
            yield Button("Report", id="open", variant="primary", compact=True)
            yield Button("Report of the group", id="group", compact=True)
        yield DataTable[str](id="runs", cursor_type="row", zebra_stripes=True)
        with VerticalScroll(id="detail"):
            yield Static("", id="metrics", markup=False)

    def on_mount(self) -> None:
        """Make the columns."""
        table: DataTable[str] = self.query_one(DataTable)
        for key, title in (("run", "scan"), ("rating", "rating"), ("flags", "out of range"), ("note", "note")):
            table.add_column(title, key=key)

    def enter(self) -> None:
        """Read what is there now."""
        self.set_focus(self.query_one(DataTable))
        self._load()

    @work(thread=True, exclusive=True, group="load")
    def _load(self) -> None:
        output_dir = self.qsm.plan.output_dir
        assert output_dir is not None
        measured, problem = qualities(output_dir), ""
        rated: dict[str, Rating] = {}
        try:
            rated = ratings(output_dir)
        except QsmAppError as error:
            problem = str(error)
        self.app.call_from_thread(self._show, measured, rated, problem)

    def _show(self, measured: list[Quality], rated: dict[str, Rating], problem: str) -> None:
        self._qualities, self._ratings = measured, rated
        table: DataTable[str] = self.query_one(DataTable)
        place = max(table.cursor_row, 0)
        table.clear()
        for quality in measured:
            table.add_row(*self._cells(quality), key=quality.run)
        if measured:
            table.move_cursor(row=min(place, len(measured) - 1))
        output_dir = self.qsm.plan.output_dir
        self.query_one("#group", Button).display = bool(output_dir and (output_dir / "group.html").is_file())
        self._summarise()
        if problem:
            self.notify(problem, severity="error", timeout=15)
        if not measured:
            self.query_one("#metrics", Static).update(
                "Run the command first (step 4), or choose a folder with results."
            )

    def _summarise(self) -> None:
        flagged = sum(bool(quality.flags) for quality in self._qualities)
        rated = sum(self._rating(quality.run).rating != "" for quality in self._qualities)
        out = sum(self._rating(quality.run).rating == "exclude" for quality in self._qualities)
        text = f"{len(self._qualities)} scans: {flagged} with flags, {rated} rated, {out} excluded."
        self.query_one("#summary", Static).update(text if self._qualities else "There are no maps here yet.")

    def _rating(self, run: str) -> Rating:
        return self._ratings.get(run, Rating(run, ""))

    def _cells(self, quality: Quality) -> tuple[str, ...]:
        rating = self._rating(quality.run)
        flags = f"▲ {', '.join(quality.flags)}" if quality.flags else "✗ unreadable" if quality.problem else "–"
        return quality.run, _SIGNS[rating.rating], flags, rating.note

    @property
    def _current(self) -> Quality | None:
        row = self.query_one(DataTable).cursor_row
        return self._qualities[row] if 0 <= row < len(self._qualities) else None

    @on(DataTable.RowHighlighted)
    def _describe(self) -> None:
        quality = self._current
        if quality is not None:
            self.query_one("#metrics", Static).update(described(quality))
            self.query_one("#detail", VerticalScroll).scroll_home(animate=False)

    def action_rate(self, rating: str) -> None:
        """Rate the map of the marked row."""
        if self._current is not None:
            old = self._rating(self._current.run)
            self._keep(Rating(old.run, rating if rating in RATINGS else "", old.note))

    def action_note(self) -> None:
        """Ask for a note on the map of the marked row."""
        if self._current is None:
            return
        old = self._rating(self._current.run)

        def typed(note: str | None) -> None:
            if note is not None:
                self._keep(Rating(old.run, old.rating, note))

        self.app.push_screen(Note(f"Note on {old.run}", old.note), typed)

    def _keep(self, rating: Rating) -> None:
        output_dir = self.qsm.plan.output_dir
        assert output_dir is not None
        try:
            rate(output_dir, rating)
        except (QsmAppError, OSError) as error:
            self.notify(f"The rating is not saved: {error}", severity="error", timeout=15)
            return
        self._ratings[rating.run] = rating
        table: DataTable[str] = self.query_one(DataTable)
        quality = next(quality for quality in self._qualities if quality.run == rating.run)
        for column, cell in zip(("run", "rating", "flags", "note"), self._cells(quality), strict=True):
            table.update_cell(rating.run, column, cell, update_width=True)
        self._summarise()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "group" and self.qsm.plan.output_dir is not None:
            self.qsm.open_page(report_of(self.qsm.plan.output_dir))
        else:
            self.action_open()

    @on(DataTable.RowSelected)
    def action_open(self) -> None:
        """Open the report of the marked row's participant."""
        output_dir = self.qsm.plan.output_dir
        if output_dir is not None:
            self.qsm.open_page(report_of(output_dir, self._current.subject if self._current else ""))
