"""The page of a subject: what it says, and what every page must be."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from bids_app.report.subject import report, report_done
from tests.unit.report.conftest import Result, Source

MAX_BYTES = 8_000_000


class Page(HTMLParser):
    """The elements of a page: tags with attributes, and ids."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.headings = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))


@pytest.fixture
def page(subject, settings, context):
    assert report(subject, settings, context, {"results": {"sub-01": Result()}}) == []
    return (context.output_dir / "sub-01.html").read_text()


def test_every_stage_has_its_figures(page):
    titles = re.findall(r"<h4>(.*?)</h4>", page)
    assert [title for title in titles if title not in ("Time and memory", "References")] == [
        "Echoes", "Masks and phase quality", "Total and local field", "Field fit", "Susceptibility",
        "Susceptibility, axial slices", "Two passes against one", "Histogram", "R2* and T2*",
        "Susceptibility-weighted image", "Registration",
        "Registration, one after the other", "Segmentation atlas", "Regions of atlas",
    ]  # fmt: skip
    assert "inversion.rts.delta" in page
    assert "sub-01_T1w.nii.gz: the only one" in page


def test_the_page_stands_alone_and_is_light(page):
    assert len(page.encode()) < MAX_BYTES
    found = Page(page)
    for tag, attributes in found.tags:
        for name in ("src", "href", "data", "action", "poster"):
            target = attributes.get(name)
            if target is not None and not (tag == "a" and target.startswith("https://doi.org/")):
                assert target.startswith(("data:", "#")), (tag, target)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for tag, a in found.tags if tag == "a" and a["href"].startswith("#")}
    assert links <= set(ids)


def test_pictures_have_texts_and_headings_are_in_order(page):
    found = Page(page)
    pictures = [attributes for tag, attributes in found.tags if tag == "img"]
    assert len(pictures) >= 14
    assert all(len(p["alt"]) > 15 and p["src"].startswith("data:image/webp;base64,") for p in pictures)
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(found.headings, found.headings[1:], strict=False))


def test_texts_of_the_data_are_escaped(page):
    assert "<script>alert(1)" not in page
    assert "a &lt;script&gt;alert(1)&lt;/script&gt; warning" in page


def failure(blocked=False):
    return SimpleNamespace(step="chi", sentence="memory ran out", traceback="Traceback: line 3", blocked=blocked)


def test_failures_are_told_with_their_traceback_folded(subject, settings, context):
    results = {"sub-01": Result([failure()])}
    report(subject, settings, context, {"results": results})
    page = (context.output_dir / "sub-01.html").read_text()
    assert "step chi failed" in page
    assert re.search(r"<details><summary>Details for developers</summary><pre[^>]*>Traceback: line 3", page)
    assert 'class="badge failed"' in page
    report(subject, settings, context, {})  # --reports-only: nothing was processed, and the failure stays
    assert "memory ran out" in (context.output_dir / "sub-01.html").read_text()
    report(subject, settings, context, {"results": {"sub-01": Result()}})
    assert "memory ran out" not in (context.output_dir / "sub-01.html").read_text()


def test_a_subject_of_which_nothing_was_made_has_a_page(settings, context):
    subject = SimpleNamespace(label="02", runs=(Source(basename="sub-02", echoes=(SimpleNamespace(metadata={}),)),))
    report(subject, settings, context, {"results": {"sub-02": Result([failure(), failure(blocked=True)])}})
    page = (context.output_dir / "sub-02.html").read_text()
    assert "No step has finished" in page
    assert "was not run" in page


def test_a_figure_that_cannot_be_drawn_is_told(subject, settings, context):
    (chi,) = context.output_dir.rglob("*sub-01_Chimap.nii.gz")
    chi.write_bytes(b"broken")
    (said, *_) = report(subject, settings, context, {})
    assert "not drawn" in said
    assert "not drawn" in (context.output_dir / "sub-01.html").read_text()


def test_a_page_is_made_again_only_where_something_changed(subject, settings, context):
    payload = {"results": {"sub-01": Result()}}
    assert not report_done(subject, settings, context, payload)
    report(subject, settings, context, payload)
    assert report_done(subject, settings, context, payload)
    assert not report_done(subject, settings, context, {"results": {"sub-01": Result([failure()])}})
    settings.values["inversion"]["method"] = "tkd"
    assert not report_done(subject, settings, context, payload)
    settings.values["inversion"]["method"] = "rts"
    (context.output_dir / "sub-01.html").write_text("cut")
    assert not report_done(subject, settings, context, payload)
