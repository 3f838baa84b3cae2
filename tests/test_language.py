"""What users read is plain English in the field's terms: no private words, no sentence that must be read twice."""

import argparse
import ast
import re
import tokenize
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bids_app"
#: Private words of earlier versions, by what to write instead.
BANNED = {
    r"taken off|takes? off|took off|freed of": "removed",
    r"(is|are|was|were|being) told|tells?|told": "warned, reported, estimated, determined",
    r"\brims?\b|rim_": "mask boundary",
    r"no field can tell|unseen trend|trend that tissue": "null-space trend",
    r"what alternates": "Nyquist-frequency alternation",
    r"\bdomes?\b": "transmit/receive phase",
    r"oddit(y|ies)|\bmend(s|ed|ing)?\b": "checks, corrected",
    r"inverted apart|sources apart": "estimated separately",
    r"at its word|look(s)? alike|first look": "unweighted, same appearance, initial estimate",
    r"\bin short\b": "summary",
    r"\bdrawings?\b|\bdrawn on the template": "manual segmentation",
    r"\bonward\b": "template to standard space",
    r"\busual(ly)?: ": "expected range",
    r"whatever they say|as many as .* hold|goes on where it was": "plain words",
    r"ringing": "Nyquist-frequency alternation",
    r"transceive": "transmit/receive phase",
    r"wraps left|half turns?|whole turns?": "residual wraps, multiples of 2 pi",
    r"chi_inverted": "chi_unreferenced",
    r"troubles?|standing": "problems, completeness",
    r"can be had|cannot be had|stand(s)? beside|may stand in": "there is, combined with, may contain",
    r"everybody together|besides, interpolated": "of all participants, as well",
    r"goes on without|go on (when|without)": "continue",
    r"in so many|that many seconds": "a number and what it counts",
    r"beside": "next to, with, in addition to, relative to",
    r"(?<!`)apart(?!`)": "separate, separately",
    r"(a|half a|quarter of a|full) turn|turns of": "2 pi, pi, residual wraps, a rotation",
    r"object masks?": "brain mask",
    r"fre(es|ed|eing) (it|them|the \w+) (from|of)|unseen|houses?|rooms?": "remove, invisible, package or module",
}
#: Private words in names of variables, functions, classes, modules, steps and products, between underscores.
PRIVATE_NAMES = {
    *("told", "tell", "tells", "rim", "dome", "domes", "oddity", "oddities", "mended", "onward", "drawn"),
    *("sheet", "troubles", "usual", "ringing", "apart", "beside", "rounds", "LEAST", "MOST", "FEWEST", "DOUBT"),
}
#: Names that say nothing of what a variable holds: nothing is called so.
EMPTY_NAMES = {"found", "one", "own", "there", "told", "having"}
#: Modules that hold the old names on purpose.
OLD_NAMES = {"model/aliases.py"}
#: Words in a sentence of the documentation at most, and in one of any other text that users read.
_LONGEST, _LONGEST_ELSEWHERE = 25, 30


def of_the_parser():
    from bids_app.cli.options import build_parser

    for action in build_parser()._actions:
        if action.help and action.help != argparse.SUPPRESS:
            yield f"help of {'/'.join(action.option_strings) or action.dest}", action.help


def of_the_settings():
    from bids_app.model.settings import Settings

    for name, section in Settings().sections.items():
        for prefix, params in ((name, section.choice), *((f"{name}.{m}", p) for m, p in section.methods.items())):
            for field in fields(params):
                yield f"{prefix}.{field.name}", field.metadata.get("doc", "")


def of_the_methods():
    from bids_app.qsm.registry import METHODS

    for kind, methods in METHODS.items():
        for method in methods.values():
            yield f"sentence of {kind} {method.name}", method.sentence


def of_the_tables():
    from bids_app.derivatives import quality

    products = tomllib.loads((PACKAGE / "derivatives" / "products.toml").read_text(encoding="utf-8"))
    for place, text in strings_in(products):
        yield f"products.toml {place}", text
    for number in vars(quality).values():
        if isinstance(number, tuple):
            for metric in number:
                for text in vars(metric).values() if hasattr(metric, "__dict__") else ():
                    if isinstance(text, str):
                        yield "quality control", text


def strings_in(tree, place=""):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from strings_in(value, f"{place}.{key}")
    elif isinstance(tree, list):
        for value in tree:
            yield from strings_in(value, place)
    elif isinstance(tree, str):
        yield place, tree


def of_the_code():
    """Sentences in the code that are no docstrings: messages, report texts, captions."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documents = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in documents else None
            if isinstance(text, str) and text.count(" ") >= 3:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def of_the_docstrings():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", re.sub(r"``[^`]*``|`[^`]*`", "", text)


def of_the_comments():
    for path in sorted(PACKAGE.rglob("*.py")):
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.COMMENT:
                    yield f"{path.relative_to(ROOT)}:{token.start[0]}", re.sub(r"`[^`]*`", "", token.string)


def names_in(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def of_the_names():
    """Names in the code, of its files, and of steps and products."""
    from bids_app import steps
    from bids_app.derivatives.products import PRODUCTS

    for path in sorted(PACKAGE.rglob("*.py")):
        if str(path.relative_to(PACKAGE)) not in OLD_NAMES:
            yield f"file {path.relative_to(ROOT)}", path.stem
            for name in names_in(ast.parse(path.read_text(encoding="utf-8"))):
                yield str(path.relative_to(ROOT)), name
    for name, listing in vars(steps).items():
        if name.endswith("_steps"):
            yield from (("step", step.name) for step in listing())
    for key, product in PRODUCTS.items():
        yield f"product {key}", key
        yield from ((f"product {key}", label) for _, label in product.entities)


BENCHMARKS = ROOT / "benchmarks" / "README.md"


def without_tables(text):
    """Leave out the tables that the benchmarks write: rows of earlier versions keep the names of their time."""
    return re.sub(r"<!-- ([\w-]+): begin -->.*?<!-- \1: end -->", "", text, flags=re.DOTALL)


def of_the_pages():
    folders = [(ROOT / "docs").glob("*.md"), (ROOT / "docs" / "methods").glob("*.md"), (ROOT / "examples").glob("*.py")]
    for path in [*(path for folder in folders for path in folder), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    yield str(BENCHMARKS.relative_to(ROOT)), without_tables(BENCHMARKS.read_text(encoding="utf-8"))
    for path in (PACKAGE / "report" / "templates").glob("*.j2"):
        text = re.sub(r"{%.*?%}|{{.*?}}|<[^>]*>", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        yield str(path.relative_to(ROOT)), text


SOURCES = [
    of_the_parser,
    of_the_settings,
    of_the_methods,
    of_the_tables,
    of_the_code,
    of_the_docstrings,
    of_the_comments,
    of_the_pages,
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_no_private_word_is_in_what_users_read(source):
    hits = [
        f"{place}: {match[0]!r} (write: {instead})"
        for place, text in source()
        for pattern, instead in BANNED.items()
        if (match := re.search(rf"(?i)(?<![\w-])(?:{pattern})(?![\w-])", text))
    ]
    assert hits == []


def private_part(name):
    return next((part for part in re.split(r"_+", name) if part in PRIVATE_NAMES), None)


def test_no_private_word_is_in_a_name():
    """APART-QSM is the name of a published method."""
    hits = {(place, name) for place, name in of_the_names() if private_part(name) and name.lower() != "apart"}
    assert hits == set()


def names_given_in(tree):
    """Yield (name, line) of all variables, arguments, functions, classes and attributes that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield (node.id if isinstance(node, ast.Name) else node.attr), node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias):
            yield node.asname or "", node.lineno
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name, node.lineno


def empty_names_in(text):
    return [(name, line) for name, line in names_given_in(ast.parse(text)) if name in EMPTY_NAMES]


@pytest.mark.parametrize("folder", ["bids_app", "benchmarks", "docs", "examples", "heuristics", "tests"])
def test_names_say_what_they_hold(folder):
    places = {
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "auto_examples" not in path.parts  # copies of examples that `make docs` leaves
        for name, line in empty_names_in(path.read_text(encoding="utf-8"))
    }
    assert places == set()


@pytest.mark.parametrize(
    "code",
    [
        "found = 1",
        "for one in x: pass",
        "f = lambda own: own",
        "[x for there in y]",
        "def told(): pass",
        "if (having := x): pass",
        "with x as found: pass",
        "self.own = 1",
        "import x as one",
        "try: pass\nexcept E as found: pass",
    ],
)
def test_a_name_that_says_nothing_is_found(code):
    assert empty_names_in(code)
    assert empty_names_in("found.x()\nf(found=1)") == []


@pytest.mark.parametrize("name", ["told", "_FEWEST", "rim_sources", "regions_drawn"])
def test_a_private_name_is_found(name):
    assert private_part(name)


def test_a_private_word_is_found():
    pattern = "|".join(BANNED)
    assert re.search(
        rf"(?i)(?<![\w-])(?:{pattern})(?![\w-])", "the trend was taken off at the rim, and the user is told"
    )


PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    BENCHMARKS,
]


def too_long(text, most):
    """Return the sentences of a text with more words than these; tables, code and links count as one word or none."""
    text = re.sub(r"```.*?```|^\|.*$|^:::.*$|^<!--.*?-->$", "", text, flags=re.S | re.M)
    text = re.sub(r"\]\([^)]*\)|`[^`]*`", " x ", text)
    return [
        " ".join(words)
        for block in re.split(r"\n\s*\n|\n[*:\d]", text)
        for sentence in re.split(r"(?<=[.:!?;])\s", block)
        if len(words := sentence.split()) > most
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_sentences_of_the_documentation_are_short(path):
    assert too_long(path.read_text(encoding="utf-8"), _LONGEST) == []


@pytest.mark.parametrize(
    "source", [of_the_parser, of_the_settings, of_the_methods, of_the_tables], ids=lambda source: source.__name__
)
def test_sentences_of_help_methods_and_tables_are_short(source):
    assert [(place, long) for place, text in source() for long in too_long(text, _LONGEST_ELSEWHERE)] == []


def test_a_long_sentence_is_found():
    assert too_long("word " * 26 + ".", _LONGEST)
    assert not too_long("word " * 24 + ".", _LONGEST)
