"""News fragments become lines of the release notes."""

import pytest

from tests.helpers import ci_scripts

NOTES = "# Changelog\n\n## 0.3.0\n\nNew\n\n* A map.\n\n## 0.2.0\n\nNew\n\n* The first map.\n\nChanged\n\n* A name.\n"


@pytest.fixture
def news(tmp_path):
    module = ci_scripts.load("collect_news")
    for name, text in (("a.new", "A mask."), ("b.changed", "An option."), ("README", "How to write news.")):
        (tmp_path / f"{name}.md").write_text(f"{text}\n")
    return module


def test_lines_go_below_their_headings_in_the_top_section(news, tmp_path):
    notes = news.with_news(NOTES, news.fragments(tmp_path))
    top, rest = notes.split("\n## 0.2.0")
    assert top == "# Changelog\n\n## 0.3.0\n\nNew\n\n* A mask.\n* A map.\n\nChanged\n\n* An option.\n"
    assert rest == NOTES.split("\n## 0.2.0")[1]
    assert news.with_news(NOTES, {}) == NOTES


@pytest.mark.parametrize(
    ("name", "text"), [("c.fixed.md", "A line."), ("c.new.md", "Two\nlines."), ("c.new.md", "No stop")]
)
def test_a_fragment_that_says_no_kind_or_is_no_line_is_refused(news, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match=name):
        news.fragments(tmp_path)


def test_the_fragments_of_the_project_can_be_collected(news):
    notes = (news.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    collected = news.with_news(notes, news.fragments(news.ROOT / "changes"))
    assert [line for line in notes.splitlines() if line not in collected] == []
