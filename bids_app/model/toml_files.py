"""Files of settings that the user gives, in TOML."""

import tomllib
from pathlib import Path

from bids_app.errors import UsageError
from bids_app.model.json_values import JsonObject


def read_text(path: Path, origin: str) -> str:
    """Return the text of a file; ``origin`` names option and file in messages.

    Raises
    ------
    UsageError
        If it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{origin} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{origin} is not UTF-8; save it as UTF-8") from error


def parse_toml(text: str, origin: str) -> JsonObject:
    """Return the values of a TOML text; a mistake in it raises UsageError with ``origin``."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{origin} is not valid TOML: {error}") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        raise UsageError(f"{origin} is not valid TOML: it is nested too deeply or has too long a number") from error
