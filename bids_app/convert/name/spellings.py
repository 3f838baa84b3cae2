"""In which forms names and birth dates stand in free text: other spellings, broken encodings, every date format."""

import re
import unicodedata
from collections.abc import Iterator

#: Latin letters that Unicode does not take for a letter with a mark.
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
        "ə": "e",
        "ħ": "h",
        "ŋ": "n",
        "ŧ": "t",
    }
)
#: The same letters without their marks.
_UNMARKED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "ħ": "h", "ŧ": "t", "å": "a"})
#: Digraphs that may stand for a letter with a mark.
_DIGRAPHS = (("ae", "ä"), ("oe", "ö"), ("ue", "ü"), ("ss", "ß"), ("aa", "å"), ("oe", "ø"), ("ae", "æ"))
#: How the names of the months begin, in the languages of Europe.
_MONTHS = (
    ("jan", "jän", "gen", "ene", "янв", "січ", "ocak", "stycz", "ιαν"),
    ("feb", "fev", "fév", "фев", "лют", "şub", "sub", "lut", "φεβ"),
    ("mar", "mär", "maer", "mrt", "maart", "maa", "мар", "бер", "μαρ"),
    ("apr", "avr", "abr", "апр", "квіт", "nis", "kwie", "απρ"),
    ("may", "mai", "mag", "mei", "maj", "мая", "май", "трав", "μαϊ", "μαι"),
    ("jun", "juin", "giu", "июн", "черв", "haz", "czerw", "ιουν"),
    ("jul", "juil", "lug", "июл", "лип", "tem", "lip", "ιουλ"),
    ("aug", "aoû", "aou", "ago", "авг", "серп", "ağu", "agu", "sierp", "αυγ"),
    ("sep", "set", "сен", "вер", "eyl", "wrz", "σεπ"),
    ("oct", "okt", "ott", "out", "окт", "жовт", "eki", "paź", "paz", "οκτ"),
    ("nov", "ноя", "лист", "kas", "listop", "νοε"),
    ("dec", "dez", "dic", "déc", "дек", "груд", "ara", "grud", "δεκ"),
)
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
#: Years before the first of each Japanese era, and what is added for the Buddhist calendar.
_ERAS, _BUDDHIST = {"T": 1911, "S": 1925, "H": 1988, "R": 2018}, 543
#: What one letter can become where its encoding is lost: bytes, escapes of HTML, URLs, mail and JSON.
_ESCAPE = r"&#?\w{1,8};|%[0-9a-f]{2}|=[0-9a-f]{2}|\\[ux][0-9a-f]{2,4}|[^\x00-\x7f]|\?"
#: Least Latin letters of a name that must be left where others are lost; most characters that stand for the lost ones.
_KEPT_LETTERS, _LOST_CHARACTERS = 3, 12
#: Encodings in which names are written, and in which their bytes are read by mistake.
_WRITTEN_IN = ("utf-8", "cp1251", "koi8-r", "iso8859-5", "iso8859-7", "iso8859-2", "iso8859-9", "cp850", "mac-roman")
_READ_IN = ("latin-1", "cp1252", "cp1251", "koi8-r", "mac-roman", "cp850")


def spellings(word: str) -> set[str]:
    """Return the forms of one word of a name, in small letters.

    Examples
    --------
    >>> sorted(spellings("Müller"))
    ['mueller', 'muller', 'müller']
    """
    folded = unicodedata.normalize("NFC", repaired(word)).casefold()
    forms = {folded, unicodedata.normalize("NFC", word).casefold()}
    for digraph, letter in _DIGRAPHS:
        if digraph in folded:
            forms.add(folded.replace(digraph, letter))
    for form in tuple(forms):
        forms |= {form.translate(_WRITTEN_OUT), _plain(form), _plain(form.translate(_UNMARKED)), bare(form)}
    forms |= {broken for form in tuple(forms) if not lost_letters(form) for broken in _broken(form)}
    return {form for form in forms if len(form) > 1}


def bare(text: str) -> str:
    """Return text in small letters without marks; other scripts stay: ``Πέτρος`` is ``πετροσ``."""
    return "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))


def written_out(text: str) -> str:
    """Return text in lower-case ASCII, letters with marks written out: ``ø`` is ``oe``, ``ł`` is ``l``."""
    return _plain(text.casefold().translate(_WRITTEN_OUT))


def lost_letters(word: str) -> str:
    """Return a pattern of a word whose letters beyond ASCII were lost; empty where too few others would be left.

    Examples
    --------
    >>> all(re.search(lost_letters("Müller"), text, re.I) for text in ("M?ller", "M%C3%BCller", "M&uuml;ller"))
    True
    """
    letters = unicodedata.normalize("NFC", word).casefold()
    if letters.isascii() or sum(letter.isascii() for letter in letters) < _KEPT_LETTERS:
        return ""

    def lost(run: re.Match[str]) -> str:
        inside = run.start() > 0 and run.end() < len(letters)
        end = "|[^a-z]" if inside else ""  # between letters of the name anything may stand for those that are lost
        return rf"(?:{_plain(run[0])})?(?:{_ESCAPE}{end}){{1,{min(_LOST_CHARACTERS, 6 * len(run[0]))}}}"

    return re.sub(r"[^\x00-\x7f]+", lost, letters)


def repaired(text: str) -> str:
    """Return a text whose UTF-8 was read as Latin-1 as it was meant, also where that happened twice."""
    for encoding in ("latin-1", "cp1252"):
        try:
            better = text.encode(encoding).decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            continue
        return better if better == text else repaired(better)
    return text


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _broken(text: str) -> Iterator[str]:
    """Give what becomes of a text whose bytes are read in another encoding, once or twice."""
    if text.isascii():
        return
    for written, read in ((written, read) for written in _WRITTEN_IN for read in _READ_IN if written != read):
        for cased in dict.fromkeys((text, text.upper(), text.title())):
            once = _misread(cased, written, read)
            yield once.casefold()
            if written == "utf-8":
                yield _misread(once, written, read).casefold()


def _misread(text: str, written: str, read: str) -> str:
    """Return a text that was written in one encoding and read in another; bytes that it lacks are those of Latin-1."""
    content = text.encode(written, "ignore")
    return "".join(bytes([byte]).decode(read, "ignore") or chr(byte) for byte in content)


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
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    full, short = f"{year:04}", f"{year:04}"[2:]
    stamp = f"{full}{month:02}{day:02}"
    joined = [
        form
        for y in (full, short)
        for form in (f"{y}{month:02}{day:02}", f"{day:02}{month:02}{y}", f"{month:02}{day:02}{y}")
    ]
    forms = [*joined, *_separated(year, month, day)]
    return re.compile(rf"(?<!\d)(?:{stamp}\d{{4}}(?:\d{{2}})?|(?:{'|'.join(forms)}))(?!\d)", re.IGNORECASE)


def _separated(year: int, month: int, day: int) -> Iterator[str]:
    """Give patterns of a date whose day, month and year are separate, in figures and in words."""
    full = f"{year:04}"
    y, m, d, between = f"(?:{full}|{full[2:]}|{year + _BUDDHIST})", f"0?{month}", f"0?{day}", r"[-./_,\\ \u2013·]{1,2}"
    for first, second, third in ((y, m, d), (d, m, y), (m, d, y), (d, _ROMAN[month - 1], y)):
        yield f"{first}{between}{second}{between}{third}"
    yield rf"{y}\s?年\s?{m}\s?月\s?{d}\s?日"
    yield rf"{y}\s?년\s?{m}\s?월\s?{d}\s?일"
    for letter, before in _ERAS.items():
        if year > before:
            yield rf"{letter}\.?0?{year - before}{between}{m}{between}{d}"
    stems = "|".join(map(re.escape, sorted(_MONTHS[month - 1], key=len, reverse=True)))
    named, ordinal = rf"(?:{stems})[^\W\d_]{{0,9}}", r"(?:st|nd|rd|th|er|\.|º)?"
    yield rf"{d}{ordinal}[-. _/]{{0,2}}(?:de )?{named}\.?(?: de)?[-., _/'’]{{0,2}}{y}"
    yield rf"{named}\.?[-. _/]{{0,2}}{d}{ordinal}[-., _/'’]{{0,2}}{y}"
    yield rf"{y}[-. _/]{{0,2}}{named}\.?[-. _/]{{0,2}}{d}"
