"""Docstrings of what the library exports: sections, parameters and terms."""

from tests.helpers.docstrings import functions, problems


def test_public_docstrings_follow_numpydoc():
    assert len(functions()) > 50
    assert not problems()


def test_every_method_names_its_source_and_shows_an_example():
    from bids_app.qsm.registry import BACKGROUND, FIELD_FITS, INVERSIONS, RELAXOMETRY

    for registry in (BACKGROUND, FIELD_FITS, INVERSIONS, RELAXOMETRY):
        for name, method in registry.items():
            if "model" in method.needs:
                continue  # A network of the user's own has no paper, and no example without its files.
            text = method.function.__doc__
            assert "References" in text, name
            assert "10." in text, name
            assert ">>>" in text or name == "tgv", name
