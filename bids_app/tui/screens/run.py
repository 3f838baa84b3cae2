"""Step 4: run the command, watch it, stop it."""

import tempfile
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, DataTable, ProgressBar, RichLog, Static

from bids_app.errors import QsmAppError
from bids_app.tui.dialogs import Confirm
from bids_app.tui.look import NO_DATASET
from bids_app.tui.progress import ENDINGS, Command, Events, JobState, Progress
from bids_app.tui.quality import report_of
from bids_app.tui.widgets import StepScreen

_SIGNS = {"waiting": "·", "running": "▶", "done": "✓", "unchanged": "✓", "FAILED": "✗", "not run": "–"}
_BAR = 12
_HELP = """\
Start runs the command at the bottom of the screen. The table shows every scan with the step it is in; the text \
below is what the command prints.

Stop ends the command in an orderly way. What is complete stays: start again, and it continues there. You can \
look at the other steps while it runs.

"Open report" shows the page of the first participant in your browser; under Results you choose whose."""


class RunScreen(StepScreen):
    """Runs the command."""

    step = "run"
    help_text = _HELP
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "start", "Start"),
        Binding("x", "stop", "Stop"),
        Binding("o", "open", "Report"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._command: Command | None = None
        self._progress = Progress()
        self._shown: dict[str, tuple[str, ...]] = {}
        self._code: int | None = None

    @property
    def runs(self) -> bool:
        """Whether a command is running."""
        return self._command is not None

    def body(self) -> ComposeResult:
        """Make buttons, bars and the two texts."""
        with Horizontal(classes="line"):
            yield Button("Start", id="start", variant="primary", compact=True)
            yield Button("Stop", id="stop", variant="warning", compact=True, disabled=True)
            yield Button("Open report", id="open", compact=True)
            yield Button("Next: results", id="next", compact=True)
        yield Static("", id="status", markup=False)
        with Horizontal(classes="line"):
            yield ProgressBar(id="bar", total=1, show_eta=False)
            yield Static("", id="time", markup=False)
        yield DataTable[str](id="jobs", cursor_type="row")
        yield RichLog(id="output", wrap=True, min_width=20, max_lines=5000)

    def on_mount(self) -> None:
        """Make the columns."""
        table: DataTable[str] = self.query_one(DataTable)
        for key, title in (("job", "what"), ("state", "state"), ("step", "step"), ("part", "of this step")):
            table.add_column(title, key=key)

    def enter(self) -> None:
        """Offer what can be done now."""
        self._buttons()
        self.query_one("#bar").display = self.runs or bool(self._progress.jobs)
        if self._code is None and not self.runs:
            ready = f"Ready: {', then '.join(self.qsm.plan.levels)}. Press Start."
            known = self.qsm.plan.bids_dir is not None
            self._say(ready if known else NO_DATASET, problem=not known)
        (self.query_one("#stop") if self.runs else self.query_one("#start")).focus()

    def _buttons(self) -> None:
        output_dir = self.qsm.plan.output_dir
        self.query_one("#start", Button).disabled = self.runs or self.qsm.plan.bids_dir is None
        self.query_one("#stop", Button).disabled = not self.runs
        self.query_one("#open", Button).disabled = output_dir is None or report_of(output_dir) is None
        self.query_one("#next", Button).disabled = self.runs

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        actions = {"start": self.action_start, "stop": self.action_stop, "open": self.action_open}
        actions.get(str(event.button.id), self.action_next)()

    def action_start(self) -> None:
        """Start the command."""
        if self.runs or self.qsm.plan.bids_dir is None:
            return
        try:
            self.qsm.plan.write_series()
        except QsmAppError as error:
            self.notify(str(error), severity="error")
            return
        self._progress, self._shown = Progress(), {}
        self.query_one(DataTable).clear()
        self.query_one(RichLog).clear()
        self._follow(self.qsm.plan.words())

    def action_stop(self) -> None:
        """Stop the command, if that is wanted."""
        if self.runs:
            self.app.push_screen(Confirm("Stop the command? What is complete stays.", "Stop"), self._answered)

    async def _answered(self, is_sure: bool | None) -> None:
        if is_sure:
            self.run_worker(self.stop())

    async def stop(self) -> None:
        """End the command and its children."""
        if self._command is not None:
            self._say("Stopping ...", problem=False)
            await self._command.stop()

    def action_open(self) -> None:
        """Open a report in the browser."""
        output_dir = self.qsm.plan.output_dir
        self.qsm.open_page(report_of(output_dir) if output_dir else None)

    @work(exclusive=True, group="command")
    async def _follow(self, words: list[str]) -> None:
        """Run the command to its end, and write its events to a file."""
        with tempfile.TemporaryDirectory(prefix="qsm-bids-app-") as folder:
            events = Events(Path(folder) / "events.jsonl")
            self._command = Command([*self.qsm.own_command, *words, "--events", str(events.path)])
            timer = self.set_interval(0.25, lambda: self._watch(events))
            log = self.query_one(RichLog)
            try:
                await self._command.start()
                self._say("Running ...", problem=False)
                self.query_one("#bar").display = True
                self._buttons()
                self.query_one("#stop").focus()
                async for line in self._command.output():
                    log.write(line)
                code = await self._command.wait()
                self._watch(events)
            except OSError as error:
                code = 1
                log.write(f"The command cannot be started: {error}")
            finally:
                timer.stop()
                self._command = None
        self._end(code)

    def _end(self, code: int) -> None:
        """Say how the command ended."""
        self._code = code
        text = ENDINGS.get(code, f"The command ended with code {code}.")
        self.query_one("#time", Static).update("")
        self._say(f"{'✓' if code == 0 else '✗'} {text}", problem=code != 0)
        self._buttons()
        if self.is_current:
            target = self.query_one("#open", Button)
            (self.query_one("#next") if target.disabled else target).focus()
        else:
            self.notify(text, severity="information" if code == 0 else "warning")

    def _say(self, text: str, problem: bool) -> None:
        status = self.query_one("#status", Static)
        status.update(text)
        status.set_class(problem, "problem")

    def _watch(self, events: Events) -> None:
        """Show what has happened since the last time."""
        for line in events.lines():
            self._progress.take(line)
        progress, table = self._progress, self.query_one(DataTable)
        if set(self._shown) - set(progress.jobs):  # another level has started
            table.clear()
            self._shown = {}
        for job in progress.jobs.values():
            cells = _cells(job)
            if job.name not in self._shown:
                table.add_row(*cells, key=job.name)
            elif self._shown[job.name] != cells:
                for column, cell in zip(("job", "state", "step", "part"), cells, strict=True):
                    table.update_cell(job.name, column, cell, update_width=True)
            self._shown[job.name] = cells
        bar = self.query_one(ProgressBar)
        bar.update(total=max(len(progress.jobs), 1), progress=progress.done)
        if self.runs:
            counted = f"{progress.done} of {len(progress.jobs)}  {progress.left}" if progress.jobs else ""
            self.query_one("#time", Static).update(counted)
            if progress.message:
                self._say(progress.message, problem=False)


def _cells(job: JobState) -> tuple[str, ...]:
    part = ""
    if job.fraction is not None:
        full = round(_BAR * min(job.fraction, 1.0))
        part = f"{'█' * full}{'░' * (_BAR - full)} {100 * min(job.fraction, 1.0):.0f} %"
    step = job.step or "; ".join(job.notes)
    time = f" in {job.seconds:.0f} s" if job.seconds else ""
    return job.title, f"{_SIGNS.get(job.status, '?')} {job.status.lower()}{time}", step, part
