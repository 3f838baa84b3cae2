"""The parser of a command line: mistakes come back as UsageError, with the word that was probably meant."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import NoReturn

from bids_app.errors import UsageError

#: Least similarity of two words of which one was probably meant.
_CUTOFF = 0.6


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes raise UsageError, so that one place decides what the user sees."""

    _words: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]  # a caller gives no namespace of another class
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, and remember the words for the advice."""
        self._words = tuple(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print, with advice."""
        advice = next(self._advice(message), "")
        raise UsageError(f"{message}{f'; {advice}' if advice else ''}\nsee {self.prog} --help")

    def _advice(self, message: str) -> Iterator[str]:
        """Yield what was probably meant: an option by its spelling, a choice, the order of the words."""
        known = [name for name in self._option_string_actions if name.startswith("--")]
        for word in (word.partition("=")[0] for word in self._words):
            if word.startswith("--") and word not in known and word != "--":
                near = nearest_word(word.replace("_", "-"), known)
                yield f"did you mean {near}?" if near else ""
                return
        for choices in ([str(c) for c in action.choices or ()] for action in self._actions):
            for word in self._words:
                near = "" if word.startswith("-") or os.sep in word else nearest_word(word, choices)
                if near and word not in choices and f"{word!r}" in message:
                    yield f"did you mean {near}?"
        yield from self._order(message)

    def _order(self, message: str) -> Iterator[str]:
        """Yield the order of the words before the options, where one comes too early or is missing."""
        positionals = [action for action in self._actions if not action.option_strings]
        order = " ".join(str(action.metavar or action.dest) for action in positionals)
        choices = [str(choice) for action in positionals for choice in action.choices or ()]
        early = [word for word in self._words[: len(positionals) - 1] if word in choices]
        if early:
            yield f"{early[0]} comes last: {self.prog} {order}"
        if "are required" in message:
            yield f"the words before the options are: {self.prog} {order}"


def nearest_word(word: str, known: Sequence[str]) -> str:
    """Return the most similar known word, or an empty text where none is similar."""
    return next(iter(get_close_matches(word, known, n=1, cutoff=_CUTOFF)), "")


def complete(parser: argparse.ArgumentParser, names: Mapping[str, Callable[[], Sequence[str]]] | None = None) -> None:
    """Answer a shell that asks for completions, and end; nothing is imported for it in any other run.

    ``names`` gives the values of options whose values are names, by the option's destination.
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    for action in parser._actions:
        if names and action.dest in names:
            find = names[action.dest]
            setattr(action, "completer", lambda find=find, **_: find())  # noqa: B010 - argcomplete's own attribute
    argcomplete.autocomplete(parser)
