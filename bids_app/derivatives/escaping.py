"""Text from outside (headers, sidecars, file names) made harmless for what it is written into."""

import html
import re

_MARKDOWN = re.compile(r"([\\`*\[\]|]|^[#>+-])")


def markdown_text(text: str) -> str:
    r"""Return a text for a Markdown page: neither HTML nor marks of Markdown work in it, and it stays on its line.

    Examples
    --------
    >>> markdown_text("<b> [x](y) | *z*")
    '&lt;b&gt; \\[x\\](y) \\| \\*z\\*'
    """
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def markdown_code(text: str) -> str:
    """Return a text as code of a Markdown page, in the marks that it needs itself.

    Examples
    --------
    >>> markdown_code("a`b")
    "`a'b`"
    """
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', '&#124;')}`"
