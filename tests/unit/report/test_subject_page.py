"""The page of a subject: what it says, and what every page must be."""

import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from bids_app import steps
from bids_app.derivatives import quality
from bids_app.derivatives.files import write_json
from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.model.records import Echo
from bids_app.model.sections import QcChoices
from bids_app.report.participant.collect import GROUP_STEPS
from bids_app.report.participant.page import report, report_done
from tests.unit.report.conftest import Result, Settings, Source, context_in, record, subject_in

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


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    context = context_in(tmp_path_factory.mktemp("page"))
    assert report(subject_in(context), Settings(), context, {"results": {"sub-01": Result()}}) == []
    return (context.output_dir / "sub-01.html").read_text()


@pytest.mark.parametrize("time", ["2026-12-01 09:58:02 ", ""])
def test_the_page_names_the_command_date_version_and_zero(tmp_path, time):
    context = context_in(tmp_path)
    logs = context.output_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "qsm-bids-app-1.log").write_text(
        f"{time}qsm-bids-app 0.2.0: in out participant --mem 4\n{time}sub-01: done\n"
    )
    report(subject_in(context), Settings(), context, {"results": {"sub-01": Result()}})
    page = (context.output_dir / "sub-01.html").read_text()
    assert "<code>qsm-bids-app in out participant --mem 4</code>" in page
    top = page[: page.index('id="sub-01-chi"')]
    assert re.search(r"Processed: .* UTC, version ", top)


def test_every_stage_has_its_figures(page):
    titles = re.findall(r"<h4>(.*?)</h4>", page)
    mosaic = next(title for title in titles if re.fullmatch(r"Susceptibility, \d+ axial slices", title))
    assert [title for title in titles if title not in ("Time and memory", "References")] == [
        "Susceptibility",
        "Susceptibility, axial slices",
        mosaic,
        "Two passes against one",
        "Boundary sources",
        "Null-space trend that was removed",
        "Histogram",
        "Echoes",
        "Masks and phase quality",
        "Filled mask, slice by slice",
        "Total and local field",
        "Corrections of the total field",
        "Field fit",
        "R2* and T2*",
        "Susceptibility-weighted image",
        "Registration",
        "Registration, one after the other",
        "Segmentation atlas",
        "Regions of atlas",
    ]
    assert "inversion.rts.delta" in page
    assert "sub-01_T1w.nii.gz: the only one" in page


def test_the_map_comes_first_with_its_files_regions_and_a_rating(page):
    order = [page.index(f'id="sub-01-{name}"') for name in ("chi", "input", "masks", "regions")]
    assert order == sorted(order)
    first = page[order[0] : order[1]]
    assert "<code>sub-01/anat/sub-01_Chimap.nii.gz</code>" in first
    assert 'data-run="sub-01"' in first and 'value="exclude"' in first
    assert re.search(r"<summary>Values of the regions of atlas</summary>.*?Median \(ppb\)", page, re.S)
    for name in ("chi", "masks", "field"):
        assert f'<a href="#sub-01-{name}">' in page[: page.index("<main")]


def test_the_page_stands_alone_and_is_light(page):
    assert len(page.encode()) < MAX_BYTES
    elements = Page(page)
    for tag, attributes in elements.tags:
        for name in ("src", "href", "data", "action", "poster"):
            target = attributes.get(name)
            if target is not None and not (tag == "a" and target.startswith("https://doi.org/")):
                assert target.startswith(("data:", "#")), (tag, target)
    ids = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for tag, a in elements.tags if tag == "a" and a["href"].startswith("#")}
    assert links <= set(ids)


def test_pictures_have_texts_and_headings_are_in_order(page):
    elements = Page(page)
    pictures = [attributes for tag, attributes in elements.tags if tag == "img"]
    assert len(pictures) >= 14
    assert all(len(p["alt"]) > 15 and p["src"].startswith("data:image/webp;base64,") for p in pictures)
    assert elements.headings[0] == 1
    assert elements.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(elements.headings, elements.headings[1:], strict=False))


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
    subject = SimpleNamespace(label="02", runs=(Source(basename="sub-02", echoes=(Echo(1, 0.005),)),))
    report(subject, settings, context, {"results": {"sub-02": Result([failure(), failure(blocked=True)])}})
    page = (context.output_dir / "sub-02.html").read_text()
    assert "No step has finished" in page
    assert "Steps that could not run because of this: chi." in page
    assert "run the same command again" in page


def test_a_failure_and_what_it_stops_are_one_box_with_the_images_as_stored(subject, settings, context):
    shutil.rmtree(context.output_dir / "logs/records")
    steps = [failure(), *(failure(blocked=True) for _ in range(3))]
    for number, step in enumerate(steps[1:]):
        step.step, step.sentence = f"later{number}", "not run, because it needs what step chi makes"
    report(subject, settings, context, {"results": {"sub-01": Result(steps)}})
    page = (context.output_dir / "sub-01.html").read_text()
    assert page.count('class="box bad"') == 1
    assert "Steps that could not run because of this: later0, later1, later2." in page
    assert "Step chi failed: see below what to do." in page
    assert "The figures show the images from the scanner." in page
    assert re.findall(r"<h4>(.*?)</h4>", page)[:1] == ["Echoes"]


def test_what_is_blocked_by_another_image_is_told_with_its_reason(subject, settings, context):
    blocked = failure(blocked=True)
    blocked.step, blocked.sentence = "registration", "not run, because it needs t1w_preproc of sub-01_T1w"
    report(subject, settings, context, {"results": {"sub-01": Result([blocked])}})
    page = (context.output_dir / "sub-01.html").read_text()
    assert "sub-01 is not complete.</strong> registration: not run, because it needs t1w_preproc" in page


def test_a_broken_image_is_told_beside_the_failure(subject, settings, context):
    shutil.rmtree(context.output_dir / "logs/records")
    (magnitude,) = {echo.magnitude for echo in subject.runs[0].echoes}
    magnitude.write_bytes(b"broken")
    report(subject, settings, context, {"results": {"sub-01": Result([failure()])}})
    assert "Not drawn (" in (context.output_dir / "sub-01.html").read_text()


def test_what_to_look_at_leads_to_the_part_that_shows_it(page):
    assert "sub-01: 2 warnings" in page
    part = re.search(r'the registration looks wrong <a href="#(sub-01-[a-z]+)" aria-label="Show', page)[1]
    assert part == "sub-01-regions"
    assert f'<h3 id="{part}">Anatomy</h3>' in page


def test_the_figures_of_the_registration_stand_beside_its_pictures(page):
    table = re.search(r"<h3 id=\"sub-01-regions\">.*?<h4>", page, re.S)[0]
    for part in (">0.740<", ">1.019<", ">1.020<", "check it", "--bids-filter-file"):
        assert part in table


def write_quality(context, **values):
    """Write what the step of quality control would have of a run with these numbers."""
    known, bounds = quality.metrics_of(2), QcChoices().to_mapping()
    numbers = {name: known[name].describe(value, bounds) for name, value in values.items()}
    numbers.get("snr_echo1", {}).pop("advice", None)
    path = product_path(PRODUCTS["qc"], {"sub": "01"}, context.output_dir, context.work_dir)
    write_json(path, {"numbers": numbers, "flags": [name for name, metric in numbers.items() if metric["flag"]]})
    sentences = [quality.sentence(name, metric) for name, metric in numbers.items() if metric["flag"]]
    record(context.output_dir, "qc", ["qc"], 9, warnings=sentences)


def test_the_table_of_quality_has_what_is_out_of_range_first_with_what_to_do(subject, settings, context):
    write_quality(context, snr_echo1=40.0, chi_spread=None, mask_volume=90.0, field_drift=29.4, residual_wraps=12)
    report(subject, settings, context, {})
    page = (context.output_dir / "sub-01.html").read_text()
    table = re.search(r'<table class="quality">.*?</table>', page, re.S)[0]
    rows = [re.sub(r"<[^>]*>", " ", row) for row in re.findall(r"<tr><th scope=.row.*?</tr>", table, re.S)]
    assert [row.split()[0] for row in rows] == [
        "mask_volume",
        "field_drift",
        "snr_echo1",
        "chi_spread",
        "residual_wraps",
    ]
    assert re.search(r"too low .*For a test object.* 90 ml\s+600 to 2300", rows[0], re.S)
    assert re.search(r"too high .*an echo that belongs to another scan.* 29.4 Hz\s+1 or less", rows[1], re.S)
    assert re.search(r"40\s+15 or more", rows[2])
    assert "not known" in rows[3]
    assert "too" not in rows[4]
    assert 'href="#sub-01-qc"' in page
    assert "mask_volume is 90 ml, expected is 600 ml or more (qc.volume_min)" in page
    assert rows[2].count("Signal-to-noise") == 1  # the numbers of an earlier version, without advice, are shown too


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


def test_steps_of_the_group_over_one_participant_are_known():
    of_one = (
        *steps.template_subject_steps(),
        *steps.template_registration_steps(),
        *steps.template_run_steps(),
        *steps.template_manual_run_steps(),
    )
    assert {step.name for step in of_one} == set(GROUP_STEPS)


def test_what_the_group_did_with_a_participant_is_no_run_of_it(tmp_path):
    """The group's records lie beside the participant's: the page of a call that comes later is the same."""
    context = context_in(tmp_path)
    results = {"results": {"sub-01": Result()}}
    assert report(subject_in(context), Settings(), context, results) == []
    before = (context.output_dir / "sub-01.html").read_text()
    folder = context.output_dir / "logs" / "records" / "sub-01"
    for name, step in (
        ("single", "register"),
        ("iteration1", "register"),
        ("subject", "subject"),
        ("manual", "manual_regions"),
    ):
        content = {"basename": f"sub-01_{name}", "step": step, "methods": ["single"], "parameters": {}}
        write_json(folder / f"sub-01_{name}_step-{step}.json", content)
    assert report_done(subject_in(context), Settings(), context, results)
    assert report(subject_in(context), Settings(), context, results) == []
    assert (context.output_dir / "sub-01.html").read_text() == before
