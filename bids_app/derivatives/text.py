"""Text files in other encodings than UTF-8."""

import codecs


def decoded(content: bytes) -> tuple[str, str]:
    """Return the text of a file, and a note where it is not UTF-8 as BIDS has it.

    Examples
    --------
    >>> decoded("Hôpital".encode("latin-1"))
    ('Hôpital', 'is not UTF-8; its text was read as Latin-1')
    """
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding), "is not UTF-8; its text was read as UTF-16"
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return content.decode("latin-1"), "is not UTF-8; its text was read as Latin-1"
