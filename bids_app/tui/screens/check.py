"""Step 2: what was found, what is wrong, and corrections of single series."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, DataTable, LoadingIndicator, Static

from bids_app.convert import ConversionReport
from bids_app.convert.model import CONVERTED, FAILED, KEPT, NOT_CONVERTED, PLANNED, SKIPPED, SeriesOutcome
from bids_app.errors import QsmAppError
from bids_app.model.records import spelled
from bids_app.tui.dialogs import Relabel
from bids_app.tui.look import Found, Survey, planned, survey
from bids_app.tui.plan import SOURCES
from bids_app.tui.widgets import StepScreen

_SIGNS = {
    PLANNED: "✓ convert",
    CONVERTED: "✓ converted",
    KEPT: "✓ is there",
    SKIPPED: "– skip",
    FAILED: "✗ fails",
    NOT_CONVERTED: "✗ too late",
}
_HELP = """\
The table shows what is in your data. ✓ is used, – is left out, ✗ cannot be used. Move through the rows: the \
text below says why, and what you can do.

Scans: a series that was judged wrongly can be corrected. Press C on its row and say what it is. The corrections \
are kept in a table in the folder of results, and the command uses it (--series).

BIDS datasets: these are the checks that the command does before it starts. It refuses to start while there is a \
problem, so correct the files, then press Ctrl+R to check again."""


class CheckScreen(StepScreen):
    """Shows series or runs with their problems."""

    step = "check"
    help_text = _HELP
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "correct", "Correct"),
        Binding("ctrl+r", "again", "Check again"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._checked: tuple[object, ...] = ()
        self._outcomes: list[SeriesOutcome] = []
        self._runs: tuple[Found, ...] = ()
        self._general: list[str] = []

    def body(self) -> ComposeResult:
        """Make the table and the text below it."""
        with Horizontal(classes="line"):
            yield Static("", id="summary", markup=False)
            yield Button("Next: options", id="next", variant="primary", compact=True)
        yield LoadingIndicator()
        yield DataTable[str](id="found", cursor_type="row", zebra_stripes=True)
        with VerticalScroll(id="detail"):
            yield Static("", id="why", markup=False)

    def enter(self) -> None:
        """Check what has been chosen, unless that is what the table shows."""
        plan = self.qsm.plan
        chosen = (plan.folder, plan.kind, plan.bids_dir, plan.output_dir, str(plan.options), str(plan.parameters))
        if chosen != self._checked:
            self._checked = chosen
            self.action_again()
        self.set_focus(self.query_one(DataTable))

    def action_again(self) -> None:
        """Check again."""
        self._wait(True)
        if self.qsm.plan.kind in SOURCES:
            self._plan_conversion()
        else:
            self._survey()

    def _wait(self, is_busy: bool, summary: str = "Looking at every file ...") -> None:
        self.query_one(LoadingIndicator).display = is_busy
        self.query_one(DataTable).display = not is_busy
        if is_busy:
            self.query_one("#summary", Static).update(summary)

    @work(thread=True, exclusive=True, group="check")
    def _plan_conversion(self) -> None:
        try:
            report: ConversionReport | QsmAppError = planned(self.qsm.plan, self._say)
        except QsmAppError as error:
            report = error
        self.app.call_from_thread(self._show_series, report)

    def _say(self, text: str) -> None:
        self.app.call_from_thread(self.query_one("#summary", Static).update, text)

    @work(thread=True, exclusive=True, group="check")
    def _survey(self) -> None:
        self.app.call_from_thread(self._show_runs, survey(self.qsm.plan))

    def _show_series(self, report: ConversionReport | QsmAppError) -> None:
        self._wait(False)
        self._runs = ()
        if isinstance(report, QsmAppError):
            self._outcomes = []
            self._fill((), [], "✗ Nothing can be converted", str(report).splitlines())
            return
        self._outcomes = list(report.outcomes)
        rows = [
            (
                f"{o.subject} {o.session or ''}",
                "" if o.number is None else str(o.number),
                o.description,
                ("✎ " if o.uid in self.qsm.plan.series else "") + _SIGNS[o.status],
                _becomes(o, max(self.app.size.width - 54, 24)),
            )
            for o in self._outcomes
        ]
        general = [f"✗ {p.path}: {p.reason}" for p in report.problems] + list(report.notes)
        title = f"{'✗' if report.failures else '✓'} {report.summary}"
        self._fill(("person", "no.", "series", "what happens", "becomes"), rows, title, general)

    def _show_runs(self, survey: Survey) -> None:
        self._wait(False)
        self._outcomes, self._runs = [], survey.runs
        rows = []
        for checked in survey.runs:
            run = checked.run
            who, what = run.entities[:1], run.entities[1:]
            field = f"{run.field_strength} T" if run.field_strength else "?"
            state = (
                f"✗ {len(checked.problems)} problem{'s'[: len(checked.problems) - 1]}"
                if checked.problems
                else "✓ ready"
            )
            t1w = "yes" if run.t1w else "no"
            rows.append((spelled(who), spelled(what) or "–", str(len(run.echoes)), field, t1w, state))
        bad = sum(len(checked.problems) for checked in survey.runs) + len(survey.problems)
        title = f"✗ {bad} to correct before it can run." if bad else f"✓ {len(rows)} scans are ready to be mapped."
        general = [f"✗ {problem}" for problem in survey.problems] + list(survey.notes)
        self._fill(("person", "scan", "echoes", "field", "T1w", "state"), rows, title, general)

    def _fill(
        self, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], summary: str, general: list[str]
    ) -> None:
        table = self.query_one(DataTable)
        place = max(table.cursor_row, 0)
        table.clear(columns=True)
        table.add_columns(*columns)
        table.add_rows(rows)
        if rows:
            table.move_cursor(row=min(place, len(rows) - 1))
        self._general = general
        self.query_one("#summary", Static).update(summary)
        self.query_one("#summary", Static).set_class(summary.startswith("✗"), "problem")
        if not rows:
            self.query_one("#why", Static).update("\n".join(general))

    @on(DataTable.RowHighlighted)
    def _explain(self, event: DataTable.RowHighlighted) -> None:
        text = ""
        if event.cursor_row < len(self._outcomes):
            text = _of_series(self._outcomes[event.cursor_row])
        elif event.cursor_row < len(self._runs):
            text = _of_run(self._runs[event.cursor_row])
        self.query_one("#why", Static).update("\n".join(filter(None, [text, *self._general])))

    @on(DataTable.RowSelected)
    def action_correct(self) -> None:
        """Ask what the series of the marked row is."""
        row = self.query_one(DataTable).cursor_row
        if row >= len(self._outcomes):
            return
        outcome = self._outcomes[row]
        _, name, part = self.qsm.plan.series.get(outcome.uid, (outcome, "", ""))
        self.app.push_screen(Relabel(outcome, name, part), lambda wish: self._take(outcome, wish))

    def _take(self, outcome: SeriesOutcome, wish: tuple[str, str] | None) -> None:
        if wish is None:
            return
        self.qsm.plan.series.pop(outcome.uid, None)
        if any(wish):
            self.qsm.plan.series[outcome.uid] = (outcome, *wish)
        try:
            self.qsm.plan.write_series()
        except QsmAppError as error:
            self.notify(str(error), severity="error")
            return
        self.show_command()
        self.action_again()

    @on(Button.Pressed, "#next")
    def _go_on(self) -> None:
        self.action_next()


def _becomes(outcome: SeriesOutcome, width: int) -> str:
    """Return the names of a series' images, or why there are none, in a limited number of characters."""
    names = [path.rpartition("/")[2].removesuffix(".nii.gz") for path in outcome.outputs]
    if not names:
        return outcome.reason if len(outcome.reason) <= width else f"{outcome.reason[: width - 1]}…"
    short = names[0].removeprefix(f"sub-{outcome.subject}_").removeprefix(f"ses-{outcome.session}_")
    return short if len(names) == 1 else f"{short} +{len(names) - 1}"


def _of_series(outcome: SeriesOutcome) -> str:
    names = ", ".join(path.rpartition("/")[2] for path in outcome.outputs)
    lines = [outcome.reason, f"becomes {names}" if names else "Press C to say what it is."]
    return "\n".join(filter(None, [*lines, f"{outcome.title}: {outcome.files} files in {outcome.source}"]))


def _of_run(checked: Found) -> str:
    run = checked.run
    times = ", ".join(f"{1000 * echo.echo_time:.4g}" for echo in run.echoes if isinstance(echo.echo_time, float))
    lines = [f"✗ {problem}" for problem in checked.problems]
    lines += [f"{run.basename}: echo times {times or 'not known'} ms; anatomical image: {run.t1w_choice}"]
    return "\n".join([*lines, *run.remarks])
