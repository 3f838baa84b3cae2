"""Text from outside (headers, sidecars, file names) made harmless for what it is written into."""

import re

_ENTITY = re.compile(r"&(?=#?\w+;)")
_MARKDOWN = re.compile(r"([\\`*~\[\]|]|^[#>+=-]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=^\d)[.)]|(?<=^\d\d)[.)])")


def markdown_text(text: str) -> str:
    r"""Return a text for a Markdown page: neither HTML nor marks of Markdown work in it, and it stays on its line.

    Examples
    --------
    >>> markdown_text("<b> [x](y) | *z*")
    '&lt;b> \\[x\\](y) \\| \\*z\\*'
    """
    return _MARKDOWN.sub(r"\\\1", no_html(" ".join(text.split())))


def no_formula(text: str) -> str:
    """Return a text for a cell of a table: spreadsheets take what begins with these characters for a formula.

    Examples
    --------
    >>> no_formula("=1+1"), no_formula("a=b")
    ("'=1+1", 'a=b')
    """
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def no_html(text: str) -> str:
    """Return a text in which neither a tag nor an entity of HTML works; what is neither stays readable.

    Examples
    --------
    >>> no_html("<b> a & b => c &amp;")
    '&lt;b> a & b => c &amp;amp;'
    """
    return _ENTITY.sub("&amp;", text).replace("<", "&lt;")


def markdown_code(text: str) -> str:
    """Return a text as code of a Markdown page, in the marks that it needs itself.

    Examples
    --------
    >>> markdown_code("a`b")
    "`a'b`"
    """
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', '&#124;')}`"
