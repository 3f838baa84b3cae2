"""Names of Cyrillic and Greek letters in Latin ones, as passports, scanners and people write them.

Every letter has several spellings (ISO 9, BGN/PCGN, ELOT 743, English, German, French, Polish). A name is compared by a
pattern that knows all of them.
"""

import re
import unicodedata

#: Spellings of letters, and of Greek pairs of letters, separated by spaces; ``-`` stands for nothing.
_CYRILLIC = {
    "а": "a",
    "б": "b",
    "в": "v w ff f",
    "г": "g gh h",
    "ґ": "g",
    "д": "d",
    "ђ": "dj d",
    "е": "e ye je ie",
    "ё": "yo jo io e ye je",
    "є": "ye je ie e",
    "ж": "zh j sch sh z",
    "з": "z s",
    "и": "i y",
    "і": "i y",
    "ї": "yi ji i",
    "й": "y j i -",
    "ј": "j y",
    "к": "k c ck",
    "л": "l ll",
    "љ": "lj",
    "м": "m",
    "н": "n nn",
    "њ": "nj",
    "о": "o",
    "п": "p",
    "р": "r",
    "с": "s ss",
    "т": "t",
    "ћ": "c ch tj",
    "у": "u ou oo",
    "ў": "u w",
    "ф": "f ph",
    "х": "kh ch h x",
    "ц": "ts tz c z",
    "ч": "tsch tch cz ch c",
    "џ": "dz dj dzh",
    "ш": "sch sh sz ch s",
    "щ": "schtsch shch stch sch shh szcz sh sc s",
    "ъ": "' -",
    "ы": "y i ui",
    "ь": "' -",
    "э": "e",
    "ю": "yu ju iu u",
    "я": "ya ja ia a",
}
_GREEK = {
    "ου": "ou u oy",
    "μπ": "b mp mb",
    "ντ": "d nt nd",
    "γκ": "g gk ng",
    "γγ": "ng gg",
    "αυ": "av af au",
    "ευ": "ev ef eu",
    "α": "a",
    "β": "v b",
    "γ": "gh g y j",
    "δ": "dh d",
    "ε": "e",
    "ζ": "z",
    "η": "i e h",
    "θ": "th t",
    "ι": "i y j",
    "κ": "k c",
    "λ": "l ll",
    "μ": "m",
    "ν": "n",
    "ξ": "x ks",
    "ο": "o",
    "π": "p",
    "ρ": "rh r",
    "σ": "s ss",
    "ς": "s",
    "τ": "t",
    "υ": "y i u",
    "φ": "ph f",
    "χ": "ch kh h x",
    "ψ": "ps",
    "ω": "o w",
}
_SPELLINGS = {
    letters: "(?:" + "|".join("" if form == "-" else form for form in forms.split()) + ")"
    for letters, forms in (_CYRILLIC | _GREEK).items()
}
_LETTERS = re.compile("|".join(sorted(_SPELLINGS, key=len, reverse=True)))


def latin_pattern(word: str) -> str:
    """Return a regular expression of a word's Latin spellings; empty where a letter is neither Cyrillic nor Greek.

    Examples
    --------
    >>> all(re.fullmatch(latin_pattern("Чайковский"), name) for name in ("chaikovskii", "tschaikowski", "czajkowskij"))
    True
    >>> latin_pattern("Müller")
    ''
    """
    letters = unicodedata.normalize("NFC", "".join(_without_accent(letter) for letter in word.casefold()))
    parts = _LETTERS.findall(letters)
    return "".join(_SPELLINGS[part] for part in parts) if sum(map(len, parts)) == len(letters) else ""


def _without_accent(letter: str) -> str:
    """Return a Greek letter without its accents; other letters (й, ё) keep their marks."""
    base = unicodedata.normalize("NFD", letter)[:1]
    return base if base in _GREEK else letter
