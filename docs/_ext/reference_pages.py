"""Write the reference pages from the code before the documentation is built: options, parameters, methods, products.

Nothing on these pages is typed by hand, so they cannot differ from what the command does.
"""

import argparse
import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measured import measured
from resource_table import resource_table

PACKAGE = Path(__file__).parents[2] / "bids_app"
_ESCAPE = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;", "*": r"\*", "_": r"\_"})
#: Exceptions that end the command, with the exit code that each of them gives.
_ERRORS = {
    "UsageError": 2,
    "ParameterError": 2,
    "InputRefusedError": 3,
    "ToolMissingError": 4,
    "OutputInUseError": 5,
    "QsmAppError": 1,
    "RunFailedError": 1,
}
#: Modules that check the input before anything runs: they yield sentences, or give them by these names.
_CHECKS = ("dataset/", "group/table_checks.py", "engine/fit.py", "cli/app.py")
_PROBLEMS = ("problem", "broken", "unknown")
#: Texts of fewer characters are no messages.
_SHORTEST = 12


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def plain(text: object) -> str:
    """Return a text that Markdown shows as it is, on one line."""
    return " ".join(str(text).split()).translate(_ESCAPE)


def options_page() -> str:
    """Return every option of the command, by the groups of its help."""
    from bids_app.cli.options import build_parser

    text = "# Command-line options\n\nThis page is made from the parser of the command itself.\n"
    for group in build_parser()._action_groups:
        actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]
        if not actions:
            continue
        title = (group.title or "options").capitalize()
        text += f"\n## {plain(title)}\n\n"
        rows = []
        for action in actions:
            names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.dest}`"
            meta = action.metavar or ""
            shown = " ".join(meta) if isinstance(meta, tuple) else meta
            value = f" `{shown}`" if shown and action.option_strings else ""
            rows.append((names + value, plain((action.help or "") % vars_of(action))))
        text += table(("option", "meaning"), rows)
    return text


def vars_of(action: argparse.Action) -> dict[str, Any]:
    """Return what a help text may name."""
    return {"default": action.default, "prog": "qsm-bids-app", "metavar": action.metavar or ""}


def parameter_rows(params: Any, prefix: str) -> list[tuple[str, ...]]:
    """Return one row for every field of a parameter class."""
    from bids_app.qsm.params import described

    rows = []
    for item in described(params):
        limits = ", ".join(f"`{choice}`" for choice in item.choices)
        if item.low is not None or item.high is not None:
            limits = f"{item.low:g} to {item.high:g}"
        shown = f"`{item.value}`" if item.value != "" else "(empty)"
        rows.append((f"`{prefix}.{item.name}`", shown, limits, plain(item.unit), plain(item.doc)))
    return rows


def parameters_page() -> str:
    """Return every parameter of every section and method."""
    from bids_app.model.settings import Settings

    text = (
        "# Parameters\n\nSet a parameter with `--set NAME=VALUE`, or in a TOML file for `--config`. "
        "This page is made from the classes that hold the defaults.\n"
    )
    head = ("parameter", "default", "range or choices", "unit", "meaning")
    for name, section in Settings().sections.items():
        choices, methods = section.choice, section.methods
        text += f"\n## {name}\n\n{plain((type(choices).__doc__ or '').strip().splitlines()[0])}\n\n"
        rows = parameter_rows(choices, name)
        text += table(head, rows) if rows else ""
        for method, params in methods.items():
            rows = parameter_rows(params, f"{name}.{method}")
            text += f"\n### {name}.{method}\n\n" + (table(head, rows) if rows else "This method has no parameters.\n")
    return text


def products_page() -> str:
    """Return every file that the app can write."""
    from bids_app.derivatives.products import PRODUCTS

    text = "# Every product\n\nThis page is made from the table that names the files.\n\n"
    public, working = [], []
    for product in PRODUCTS.values():
        entities = "".join(f"_{key}-{value}" for key, value in product.entities)
        name = f"{product.datatype + '/' if product.datatype else ''}\\*{entities}_{product.suffix}{product.extension}"
        row = (f"`{name.replace(chr(92), '')}`", plain(product.unit), plain(product.description))
        (working if product.in_work_dir else public).append(row)
    text += table(("file", "unit", "content"), public)
    text += "\n## Working files\n\nThese lie in the work folder. You may delete them: the app makes them again.\n\n"
    return text + table(("file", "unit", "content"), working)


def presets_page() -> str:
    """Return every preset with its comment and its values."""
    from bids_app.model.settings import preset_names, preset_text

    text = "# Presets in full\n\nA preset names what differs from the defaults. `--show-preset NAME` prints it.\n"
    for name in preset_names():
        text += f"\n## {name}\n\n```toml\n{preset_text(name).strip()}\n```\n"
    return text


def messages_page() -> str:
    """Return every message with which the command can end, by the exit code, each with an anchor."""
    by_code: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for error, text in messages_in(path):
            by_code[_ERRORS[error]].append((text, path.relative_to(PACKAGE).as_posix()))
    titles = {
        1: "A run failed",
        2: "The command line or the settings are wrong",
        3: "The input or the output folder cannot be used",
        4: "A tool is missing",
        5: "Another command is writing the same output",
    }
    page = (
        "# Error messages\n\nEvery message says what happened, in which file, and what to do. "
        "`…` stands for what the message fills in.\n"
    )
    number = 0
    for code in sorted(by_code):
        page += f"\n## {titles[code]} (exit code {code})\n\n"
        for text, _ in sorted(set(by_code[code])):
            number += 1
            page += f"(message-{number})=\n* {plain(text)}\n\n"
    return page


def messages_in(path: Path) -> Iterator[tuple[str, str]]:
    """Give the class and the text of every error of the app that a module raises, and of every check of the input."""
    checks = path.relative_to(PACKAGE).as_posix().startswith(_CHECKS)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        messages: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ERRORS:
            messages = [(node.func.id, argument) for argument in node.args[:1]]
        elif checks and (problem := _problem_of(node)) is not None:
            messages = [("InputRefusedError", problem)]
        for error, argument in messages:
            for part in argument.elts if isinstance(argument, ast.List) else [argument]:
                text = text_of(part)
                if len(re.sub("…", "", text)) > _SHORTEST:
                    yield error, text


def _problem_of(node: ast.AST) -> ast.expr | None:
    """Return what a check of the input yields, passes on or sets as a problem's text; None for any other node."""
    if isinstance(node, ast.Yield):
        return node.value
    if isinstance(node, ast.keyword) and node.arg in _PROBLEMS:
        return node.value
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in _PROBLEMS:
        return node.value
    return None


def text_of(node: ast.expr) -> str:
    """Return the text of a string expression, an ellipsis for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"


_KIND_TITLES = {
    "offsets": "Phase offset",
    "unwrap": "Phase unwrapping",
    "field_fit": "Field fit",
    "correction": "Field and map corrections",
    "background": "Background removal",
    "inversion": "Dipole inversion",
    "relaxometry": "Relaxometry",
    "swi": "Susceptibility-weighted imaging",
    "spin_echo": "R2 from spin echoes",
    "gradient_correction": "R2* without field gradients",
    "separation": "Source separation",
}
_SECTION_OF = {
    "offsets": "field",
    "unwrap": "field",
    "field_fit": "field",
    "correction": "background",
    "spin_echo": "separation",
    "gradient_correction": "separation",
}


def method_page(method: Any) -> str:
    """Return the page of one method, from its descriptor and docstring."""
    from bids_app.report.methods.references import REFERENCES

    section = _SECTION_OF.get(method.kind, method.kind)
    text = f"# {method.label}\n\n{_KIND_TITLES[method.kind]}: `{section}.{method.name}`\n\n"
    text += f"**Maturity:** {method.maturity}.\n\n"
    cited = [REFERENCES[key] for key in method.citations]
    sentence = method.sentence.replace("{parameters}", "")
    for work in cited:
        sentence = sentence.replace(work.key, work.short)
    text += f"**In the methods text:** {plain(sentence)}\n\n"
    rows = parameter_rows(method.params(), f"{section}.{method.name}")
    if rows:
        text += (
            "## Parameters\n\n" + table(("parameter", "default", "range or choices", "unit", "meaning"), rows) + "\n"
        )
    text += measured(method.kind, method.name)
    if cited:
        text += "## References\n\n" + "".join(
            f"* {plain(w.plain)} [{w.doi}]({w.url})\n" if w.doi else f"* {plain(w.plain)}\n" for w in cited
        )
    module, name = method.function.__module__, method.function.__name__
    text += f"\n## Function\n\n```{{eval-rst}}\n.. autofunction:: {module}.{name}\n   :no-index:\n```\n"
    return text


def method_pages() -> dict[str, str]:
    """Return the page of every method by its name, and an index of all by kind."""
    from bids_app.qsm.registry import METHODS

    pages, index = {}, "# Every method\n\nMade from the descriptors in the modules of the algorithms.\n"
    for kind, methods in METHODS.items():
        if not methods:
            continue
        index += f"\n## {_KIND_TITLES[kind]}\n\n"
        rows = []
        for method in methods.values():
            name = f"{kind}_{method.name}"
            pages[name] = method_page(method)
            rows.append((f"[{method.label}]({name}.md)", f"`{method.name}`", method.maturity))
        index += table(("method", "name", "maturity"), rows)
    return {**pages, "all": index}


PAGES = {
    "options": options_page,
    "parameters": parameters_page,
    "products": products_page,
    "presets_full": presets_page,
    "messages": messages_page,
    "resource_table": resource_table,
}


def write_pages(app: Any) -> None:
    """Write the pages that changed."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    texts = {folder / f"{name}.md": make() for name, make in PAGES.items()}
    methods = Path(app.srcdir) / "methods" / "generated"
    methods.mkdir(exist_ok=True)
    texts |= {methods / f"{name}.md": text for name, text in method_pages().items()}
    for path in set(methods.glob("*.md")) - set(texts):
        path.unlink()
    for path, text in texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Show ``|k|`` in docstrings as it is: reStructuredText would take it for a substitution."""
    for number, line in enumerate(lines):
        parts = line.split("``")
        lines[number] = "``".join(p if k % 2 or ":math:" in p else p.replace("|", r"\|") for k, p in enumerate(parts))


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", escape_bars)
    return {"version": "1", "parallel_read_safe": True}
