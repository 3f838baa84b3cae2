"""Text files in other encodings than UTF-8."""

import codecs
import re


def decoded(content: bytes) -> tuple[str, str]:
    """Return the text of a file, and a note where it is not UTF-8 as BIDS has it.

    Examples
    --------
    >>> decoded("Hôpital".encode("latin-1"))
    ('Hôpital', 'is not UTF-8; its text was read as Latin-1')
    """
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, errors="replace"), "is not UTF-8; its text was read as UTF-16"
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return content.decode("latin-1"), "is not UTF-8; its text was read as Latin-1"


def utf8(text: str) -> bytes:
    """Return a text as UTF-8, what is no character by its number.

    JSON may hold half of a pair of surrogates, and names of files may be in another encoding.

    Examples
    --------
    >>> utf8("a\\udcff")
    b'a\\\\udcff'
    """
    return text.encode("utf-8", "backslashreplace")


def cells_of(text: str) -> list[list[str]]:
    """Return the cells of each line of a table of tab-separated values, as BIDS has it: without quotes.

    Examples
    --------
    >>> cells_of("a\\tb\\n1\\t2")
    [['a', 'b'], ['1', '2']]
    """
    lines = re.split(r"\r\n|\n|\r", text)  # other characters that Python takes for ends of lines stand in cells
    return [line.split("\t") for line in (lines if lines[-1] else lines[:-1])]


def shown(text: str, most: int = 40) -> str:
    """Return a wrong value as it is shown to the user, cut where it is long.

    Examples
    --------
    >>> shown("x" * 50, 3)
    "'xxx...'"
    """
    return repr(text if len(text) <= most else f"{text[:most]}...")
