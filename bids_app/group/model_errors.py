"""Why a model cannot be fitted, in words of the user."""

#: What statsmodels and patsy say of a formula that does not fit the data, in words of the user.
_SENTENCES = {
    "multiple columns": "its response is not one column of numbers",
    "inf or nans": "a term has no finite value for a participant, as a division by 0 or an overflow; correct the term",
    "zero-size array": "no participant has a value of every term, as of a logarithm or root of negative numbers",
    "is too small for degree": "df of bs and cr is at least its degree, which is 3 if it is not given",
}


def explained(text: str) -> str:
    """Return what an error of these libraries means for a formula; an unknown one stays as it is.

    Examples
    --------
    >>> explained("formula produced multiple columns")
    'its response is not one column of numbers'
    """
    return next((sentence for words, sentence in _SENTENCES.items() if words in text), text)
