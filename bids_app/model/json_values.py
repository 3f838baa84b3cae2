"""Values of JSON and TOML files that others wrote: the border where their types are not known yet."""

import tomllib
from typing import Any

#: A value of a file: a number, a text, a truth value, a list, an object or nothing. Whoever reads it checks it.
JsonValue = Any
#: An object of a file by the names of its fields.
JsonObject = dict[str, JsonValue]


def value_of(text: str) -> JsonValue:
    """Return the value that a text spells as TOML does; a bare word is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, nested too deeply, or a number of thousands of digits
        return text.strip()
