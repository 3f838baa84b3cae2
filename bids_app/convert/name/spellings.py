"""In which forms names and birth dates stand in free text: other spellings, broken encodings, every date format."""

import re
import unicodedata
from collections.abc import Iterator

_WRITTEN_OUT = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "ß": "ss",
        "å": "aa",
        "æ": "ae",
        "ø": "oe",
        "œ": "oe",
        "ñ": "n",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ı": "i",
    }
)
#: Digraphs that may stand for a letter with a mark.
_DIGRAPHS = (("ae", "ä"), ("oe", "ö"), ("ue", "ü"), ("ss", "ß"), ("aa", "å"), ("oe", "ø"), ("ae", "æ"))
_MONTHS = (
    ("jan", "januar", "january", "janvier", "enero"),
    ("feb", "februar", "february", "février", "fevrier", "febrero"),
    ("mar", "mär", "märz", "maerz", "march", "mars", "marzo"),
    ("apr", "april", "avril", "abril"),
    ("may", "mai", "mayo"),
    ("jun", "juni", "june", "juin", "junio"),
    ("jul", "juli", "july", "juillet", "julio"),
    ("aug", "august", "août", "aout", "agosto"),
    ("sep", "sept", "september", "septembre", "septiembre"),
    ("oct", "okt", "oktober", "october", "octobre", "octubre"),
    ("nov", "november", "novembre", "noviembre"),
    ("dec", "dez", "dezember", "december", "décembre", "diciembre"),
)


def spellings(word: str) -> set[str]:
    """Return the forms of one word of a name, in small letters.

    Examples
    --------
    >>> sorted(spellings("Müller"))
    ['mueller', 'muller', 'mã¼ller', 'müller']
    """
    folded = unicodedata.normalize("NFC", repaired(word)).casefold()
    forms = {folded, unicodedata.normalize("NFC", word).casefold()}
    for digraph, letter in _DIGRAPHS:
        if digraph in folded:
            forms.add(folded.replace(digraph, letter))
    for form in tuple(forms):
        forms |= {form.translate(_WRITTEN_OUT), _plain(form)}
    return {spelling for form in forms for spelling in (form, *_broken(form)) if len(spelling) > 1}


def repaired(text: str) -> str:
    """Return a text whose UTF-8 was read as Latin-1 as it was meant."""
    for encoding in ("latin-1", "cp1252"):
        try:
            return text.encode(encoding).decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            continue
    return text


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _broken(text: str) -> Iterator[str]:
    """Give what becomes of UTF-8 that is read as Latin-1."""
    for encoding in ("latin-1", "cp1252"):
        try:
            broken = text.encode("utf-8").decode(encoding).casefold()
        except UnicodeDecodeError:
            continue
        if broken != text:
            yield broken


def date_pattern(date: str) -> re.Pattern[str] | None:
    """Return a pattern of all common forms of a date (YYYYMMDD); None for what is no date.

    Examples
    --------
    >>> bool(date_pattern("19700203").search("born 3.2.1970")), bool(date_pattern("19700203").search("1970"))
    (True, False)
    """
    match = re.fullmatch(r"(\d{4})\D?(\d{2})\D?(\d{2})", date.strip())
    if not match or not 1 <= int(match[2]) <= 12 or not 1 <= int(match[3]) <= 31:
        return None
    year, month, day = match[1], int(match[2]), int(match[3])
    y, m, d = f"(?:{year}|{year[2:]})", f"0?{month}", f"0?{day}"
    named, between = (
        "(?:" + "|".join(map(re.escape, sorted(_MONTHS[month - 1], key=len, reverse=True))) + ")",
        r"[-./_ ]{1,2}",
    )
    joined = (f"{year}{month:02}{day:02}", f"{day:02}{month:02}{year}", f"{month:02}{day:02}{year}")
    short = (f"{year[2:]}{month:02}{day:02}", f"{day:02}{month:02}{year[2:]}", f"{month:02}{day:02}{year[2:]}")
    forms = [
        *joined,
        *short,
        *(f"{a}{between}{b}{between}{c}" for a, b, c in ((y, m, d), (d, m, y), (m, d, y))),
        rf"{d}(?:st|nd|rd|th|\.)?[-. _]{{0,2}}{named}\.?[-., _]{{0,2}}{y}",
        rf"{named}\.?[-. _]{{0,2}}{d}(?:st|nd|rd|th|\.)?[-., _]{{0,2}}{y}",
        rf"{year}[-. _]{{0,2}}{named}\.?[-. _]{{0,2}}{d}",
    ]
    return re.compile(rf"(?<!\d)(?:{'|'.join(forms)})(?!\d)", re.IGNORECASE)
