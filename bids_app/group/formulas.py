"""Formulas of linear models: a small grammar, checked before anything evaluates them.

A formula names columns and joins them by ``+ - * / : **`` and parentheses; within one of the listed functions stands
arithmetic. The library behind it (patsy) evaluates Python, so that everything else is refused here, with its position.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bids_app.errors import UsageError

#: Functions of columns, and how many arguments they take at most.
FUNCTIONS = {
    "C": 2,
    "Q": 1,
    "I": 1,
    "log": 1,
    "log2": 1,
    "log10": 1,
    "exp": 1,
    "sqrt": 1,
    "abs": 1,
    "center": 1,
    "scale": 1,
    "standardize": 1,
    "bs": 2,
    "cr": 2,
    "np.log": 1,
    "np.log2": 1,
    "np.log10": 1,
    "np.exp": 1,
    "np.sqrt": 1,
    "np.abs": 1,
}
#: Codings of a factor, the second argument of ``C``.
CODINGS = ("Treatment", "Sum", "Diff", "Helmert", "Poly")
#: Arguments with a name, and their largest value.
_KEYWORDS = {"df": 20, "degree": 5, "reference": 1e6, "levels": 0}
#: So much of a formula that is wrong is shown.
_SHOWN = 200
#: Nothing that a person writes is longer, deeper or of a higher power.
_MAX_LENGTH, _MAX_DEPTH, _MAX_POWER, _MAX_NUMBER = 2000, 20, 6, 1e12
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"""
    r"""|(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)?)"""
    r"""|(?P<text>"[^"\\\n]*"|'[^'\\\n]*')"""
    r"""|(?P<mark>\*\*|[-+*/:()~,=]))"""
)


@dataclass(frozen=True)
class _Token:
    kind: str  # number, name, text, mark, other or end
    text: str
    place: int  # from 1


@dataclass(frozen=True)
class Formula:
    """A formula that has been checked."""

    text: str
    names: tuple[str, ...]  # columns that it uses, the response first


def parse_formula(text: str) -> Formula:
    """Return a formula whose every part is known.

    Raises
    ------
    UsageError
        If something in it is none of the grammar; the message names the place.

    Examples
    --------
    >>> parse_formula("chi ~ age * C(group) + log(weight)").names
    ('chi', 'age', 'group', 'weight')
    """
    if len(text) > _MAX_LENGTH:
        raise UsageError(f"a model has at most {_MAX_LENGTH} characters, this one has {len(text)}")
    parser = _Parser(text)
    parser.formula()
    return Formula(text, tuple(dict.fromkeys(parser.names)))


def functions() -> dict[str, Any]:
    """Return what the names of functions stand for, in addition to those that patsy knows itself."""
    import numpy as np

    plain = {name: getattr(np, name) for name in ("log", "log2", "log10", "exp", "sqrt", "abs")}
    return {**plain, "np": np}


class _Parser:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str):
        self.text, self.names, self.depth = text, list[str](), 0
        self.tokens: list[_Token] = list(self._split())
        self.at = 0

    def _split(self) -> Iterator[_Token]:
        place = 0
        while self.text[place:].strip():
            match = _TOKEN.match(self.text, place)
            if match is None:
                place += len(self.text[place:]) - len(self.text[place:].lstrip())
                yield _Token("other", self.text[place], place + 1)
                place += 1
                continue
            assert match.lastgroup is not None
            yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1)
            place = match.end()
        yield _Token("end", "the end", len(self.text) + 1)

    def _wrong(self, token: _Token, wanted: str = "") -> UsageError:
        what = token.text if token.kind == "end" else repr(token.text)
        text = wanted or (
            "a model holds names of columns, numbers, + - * / : ** ( ) and the functions "
            + ", ".join(name for name in FUNCTIONS if "." not in name)
        )
        return UsageError(
            f'the model "{self.text[:_SHOWN]}" cannot be read at character {token.place} ({what[:_SHOWN]}): {text}'
        )

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self, *marks: str) -> bool:
        if self.token.kind == "mark" and self.token.text in marks:
            self.at += 1
            return True
        return False

    def need(self, mark: str) -> None:
        if not self.take(mark):
            raise self._wrong(self.token, f"{mark!r} is expected")

    def formula(self) -> None:
        if self.token.kind not in ("name",):
            raise self._wrong(self.token, "it needs a response, a tilde and terms: 'chi ~ age + sex'")
        self.factor()
        if not self.take("~"):
            raise self._wrong(self.token, "it needs a response, a tilde and terms: 'chi ~ age + sex'")
        self.terms()
        if self.token.kind != "end":
            raise self._wrong(self.token)

    def nested(self) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._wrong(self.token, f"parentheses are nested more than {_MAX_DEPTH} times")

    def terms(self) -> None:
        """Read terms joined by operators, where numbers are 0 and 1 alone."""
        self.take("+", "-")
        self.operand()
        while self.take("+", "-", "*", "/", ":", "**"):
            power = self.tokens[self.at - 1].text == "**"
            self.power() if power else self.operand()

    def operand(self) -> None:
        if self.take("("):
            self.nested()
            self.terms()
            self.depth -= 1
            self.need(")")
        elif self.token.kind == "number":
            if self.token.text not in ("0", "1"):
                raise self._wrong(self.token, "the only numbers of a model are 0 and 1 (intercept); use I(2 * age)")
            self.at += 1
        else:
            self.factor()

    def power(self) -> None:
        token = self.token
        if token.kind != "number" or not token.text.isdigit() or not 1 <= int(token.text) <= _MAX_POWER:
            raise self._wrong(token, f"a power is a whole number from 1 to {_MAX_POWER}")
        self.at += 1

    def factor(self) -> None:
        """Read a column, or a function of columns."""
        token = self.token
        if token.kind != "name" or token.text.startswith("__"):
            raise self._wrong(token)
        self.at += 1
        if not self.take("("):
            if "." in token.text or token.text in CODINGS:
                raise self._wrong(token, "a column whose name holds other characters is written Q('name')")
            self.names.append(token.text)
            return
        if token.text not in FUNCTIONS:
            raise self._wrong(token, f"there is no function {token.text}; there are {', '.join(FUNCTIONS)}")
        self.nested()
        if token.text == "Q":
            self.quoted()
        else:
            self.arguments(token.text)
        self.depth -= 1
        self.need(")")

    def quoted(self) -> None:
        if self.token.kind != "text":
            raise self._wrong(self.token, "Q takes the name of a column in quotes")
        self.names.append(self.token.text[1:-1])
        self.at += 1

    def arguments(self, function: str) -> None:
        self.arithmetic()
        count = 1
        while self.take(","):
            count += 1
            if count > FUNCTIONS[function]:
                raise self._wrong(self.tokens[self.at - 1], f"{function} takes {FUNCTIONS[function]} argument(s)")
            if function == "C":
                self.coding()
            else:
                self.keyword()

    def coding(self) -> None:
        token = self.token
        if token.text not in CODINGS:
            raise self._wrong(token, f"the coding of a factor is one of {', '.join(CODINGS)}")
        self.at += 1
        if self.take("("):
            if self.token.kind == "name":
                self.keyword()
            elif self.token.kind in ("text", "number"):
                self.at += 1
            self.need(")")

    def keyword(self) -> None:
        token = self.token
        if token.text not in _KEYWORDS:
            raise self._wrong(token, f"an argument is one of {', '.join(_KEYWORDS)}")
        self.at += 1
        self.need("=")
        value = self.token
        if value.kind == "number" and float(value.text) > _KEYWORDS[token.text]:
            raise self._wrong(value, f"{token.text} is at most {_KEYWORDS[token.text]:g}")
        if value.kind not in ("number", "text"):
            raise self._wrong(value, "a number or a text in quotes is expected")
        self.at += 1

    def arithmetic(self) -> None:
        """Read arithmetic of columns and numbers."""
        while True:
            while self.take("+", "-"):
                pass
            if self.take("("):
                self.nested()
                self.arithmetic()
                self.depth -= 1
                self.need(")")
            elif self.token.kind == "number":
                if float(self.token.text) > _MAX_NUMBER:
                    raise self._wrong(self.token, f"a number is at most {_MAX_NUMBER:g}")
                self.at += 1
            else:
                self.factor()
            if self.take("**"):
                self.power()
            if not self.take("+", "-", "*", "/"):
                return
