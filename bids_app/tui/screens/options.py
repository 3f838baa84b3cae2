"""Step 3: preset, options and parameters, each with its explanation."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Label, Select, Static, Tree
from textual.widgets.tree import TreeNode

from bids_app.tui.catalogue import Entry, effective, explanation, options, parameters
from bids_app.tui.widgets import StepScreen

_HELP = """\
Most data need none of this: go on with Ctrl+N. The preset is the one choice that many people make.

Move through the list to read what an option does. Change its value on the right; the command at the bottom \
follows at once. ● marks what you have changed, and Ctrl+R sets the marked option back to its default. Type in \
the line at the top to search names and explanations; with several words all must be there.

Parameters belong to the methods. Their values come from the preset unless you change them."""


class OptionsScreen(StepScreen):
    """Chooses options."""

    step = "options"
    help_text = _HELP
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "default", "Reset"),
        Binding("ctrl+g", "search", "Search", priority=True),  # before the next key is handed out
        Binding("slash", "search", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[Entry] = options()
        self._entry = self._entries[0]
        self._values: dict[str, object] = {}

    def body(self) -> ComposeResult:
        """Make the list and the editor."""
        with Horizontal():
            with Vertical(id="left"):
                yield Input(placeholder="search", id="search", compact=True)
                yield Tree[Entry]("Options", id="entries")
            with Vertical(id="right"):
                with VerticalScroll(id="explain"):
                    yield Static("", id="explanation", markup=False)
                yield Label("", id="title", markup=False)
                yield Input(id="value", compact=True)
                yield Select[str]([], id="choice", allow_blank=True, prompt="default", compact=True)
                yield Static("", id="wrong", markup=False)
                yield Button("Next: run", id="next", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Show the options; the parameters follow as soon as their methods are loaded."""
        tree = self.query_one(Tree)
        tree.show_root = False
        tree.guide_depth, tree.show_guides = 2, False
        self._fill()
        self._load()

    def enter(self) -> None:
        """Show the problem that other screens may have made or removed."""
        self.set_focus(self.query_one(Tree))
        self._check()

    @work(thread=True, group="load")
    def _load(self) -> None:
        entries = list(parameters())
        self.app.call_from_thread(self._loaded, entries)

    def _loaded(self, entries: Sequence[Entry]) -> None:
        self._entries = [*self._entries, *entries]
        self._fill()
        self._check()

    def _fill(self, search: str = "") -> None:
        """Show the entries that agree with the search, by group."""
        words = search.split()
        tree: Tree[Entry] = self.query_one(Tree)
        tree.clear()
        chosen = first = None
        for group in dict.fromkeys(entry.group for entry in self._entries):
            members = [entry for entry in self._entries if entry.group == group and entry.matches(words)]
            if not members:
                continue
            branch = tree.root.add(group, expand=bool(words) or members[0].key == self._entries[0].key)
            for entry in members:
                leaf = branch.add_leaf(self._label(entry), entry)
                first = first or leaf
                if all(word.lower() in entry.title for word in words) if words else entry == self._entry:
                    chosen = chosen or leaf
        tree.root.expand()
        chosen = chosen or (first if words else None)
        if chosen is not None:
            self.call_after_refresh(self._mark, chosen)

    def _mark(self, node: TreeNode[Entry]) -> None:
        """Move to an entry; the tree is silent where the one before was on the same line."""
        self.query_one(Tree).move_cursor(node)
        if node.data is not None and node.data != self._entry:
            self._entry = node.data
            self._show_entry()

    def _label(self, entry: Entry) -> str:
        value = self._chosen(entry)
        return f"● {entry.title} {'' if entry.is_flag else value}" if value else f"  {entry.title}"

    def _chosen(self, entry: Entry) -> str:
        """Return what the user has chosen for an entry, or an empty text."""
        plan = self.qsm.plan
        return (plan.parameters if entry.is_parameter else plan.options).get(entry.key, "")

    @on(Input.Changed, "#search")
    def _search(self, event: Input.Changed) -> None:
        self._fill(event.value)

    @on(Input.Submitted, "#search")
    def _to_list(self) -> None:
        self.set_focus(self.query_one(Tree))

    @on(Tree.NodeHighlighted)
    def _show(self, event: Tree.NodeHighlighted[Entry]) -> None:
        entry = event.node.data
        if entry is not None:
            self._entry = entry
            self._show_entry()

    def _show_entry(self) -> None:
        """Show explanation and value of the present entry."""
        entry, value = self._entry, self._chosen(self._entry)
        default = effective(self._values, entry.key) if entry.is_parameter else ""
        self._explain()
        self.query_one("#title", Label).update(entry.title + (f" ({entry.hint})" if entry.hint else ""))
        text, choice = self.query_one("#value", Input), self.query_one("#choice", Select)
        choices = ("true",) if entry.is_flag else entry.choices
        text.display, choice.display = not choices, bool(choices)
        with self.prevent(Input.Changed, Select.Changed):
            text.value = value
            text.placeholder = f"default: {default}" if default else "default"
            words = {"true": "on"} if entry.is_flag else {}
            choice.prompt = f"default: {default}" if default else "off" if entry.is_flag else "default"
            choice.set_options([(words.get(choice_value, choice_value), choice_value) for choice_value in choices])
            if value in choices:
                choice.value = value

    def _explain(self) -> None:
        """Show what the present entry is, and the method or preset that is chosen."""
        entry, box = self._entry, self.query_one("#explain", VerticalScroll)
        default = effective(self._values, entry.key) if entry.is_parameter else ""
        text = explanation(entry, self._chosen(entry) or default, max(box.size.width - 2, 30))
        self.query_one("#explanation", Static).update(text)
        box.scroll_home(animate=False)

    @on(Tree.NodeSelected)
    def _edit(self, event: Tree.NodeSelected[Entry]) -> None:
        if event.node.data is not None:
            choice = self.query_one("#choice", Select)
            self.set_focus(choice if choice.display else self.query_one("#value", Input))

    @on(Input.Changed, "#value")
    def _typed(self, event: Input.Changed) -> None:
        self._take(event.value.strip())

    @on(Input.Submitted, "#value")
    def _entered(self) -> None:
        self.set_focus(self.query_one(Tree))

    @on(Select.Changed, "#choice")
    def _picked(self, event: Select.Changed) -> None:
        self._take(event.value if isinstance(event.value, str) else "")

    def action_default(self) -> None:
        """Set the present entry back to its default."""
        self._take("")
        self._show_entry()

    def action_search(self) -> None:
        """Go to the line for searches."""
        self.set_focus(self.query_one("#search", Input))

    def _take(self, value: str) -> None:
        plan, entry = self.qsm.plan, self._entry
        values = plan.parameters if entry.is_parameter else plan.options
        if value == values.get(entry.key, ""):
            return
        values.pop(entry.key, None)
        if value:
            values[entry.key] = value
        node = self.query_one(Tree).cursor_node
        if node is not None and node.data == entry:
            node.set_label(self._label(entry))
        if entry.choices:
            self._explain()
        self._check()

    def _check(self) -> None:
        """Show the command and what is wrong with it."""
        self.show_command()
        self._validate()

    @work(thread=True, exclusive=True, group="check")
    def _validate(self) -> None:
        problem, values = self.qsm.plan.problem(), self.qsm.plan.effective()
        self.app.call_from_thread(self._validated, problem, values)

    def _validated(self, problem: str, values: dict[str, object]) -> None:
        self._values = values or self._values
        self._explain()
        self.query_one("#wrong", Static).update(f"✗ {problem}" if problem else "")

    @on(Button.Pressed, "#next")
    def _go_on(self) -> None:
        self.action_next()
