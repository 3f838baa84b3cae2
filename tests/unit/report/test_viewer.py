"""The interactive viewer: its volumes are the map's, and a browser draws it or says why not."""

import base64
import gzip
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import nibabel as nib
import numpy as np
import pytest

from bids_app.report.participant import viewer
from bids_app.report.participant.collect import collect
from bids_app.report.participant.page import report
from tests.helpers.browser import SCROLLING, Browser


def image(text):
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


@pytest.fixture
def run(subject, context):
    return collect(subject, context, {})[0]


def test_volumes_lie_where_the_map_lies(run):
    shown = viewer.volumes(run)
    chi, labels, whole = image(shown.chi), image(shown.labels), nib.load(run.path("chimap"))
    assert chi.shape == labels.shape
    start = np.rint(np.linalg.inv(whole.affine) @ chi.affine[:, 3])[:3].astype(int)
    box = tuple(slice(s, s + n) for s, n in zip(start, chi.shape, strict=True))
    assert np.allclose(chi.get_fdata(), whole.get_fdata()[box], atol=0.00026)
    assert np.allclose(chi.affine[:3, :3], whole.affine[:3, :3], atol=1e-5)
    assert set(np.unique(labels.get_fdata())) == {0, 1, 2}


def test_a_small_budget_makes_coarser_volumes_and_none_where_nothing_fits(run):
    fine, whole = viewer.volumes(run), nib.load(run.path("chimap"))
    coarse = viewer.volumes(run, (len(fine.chi) + len(fine.labels)) // 3)
    assert coarse.voxel_mm > fine.voxel_mm
    shown, expected = image(coarse.chi), whole.get_fdata()
    first = np.linalg.inv(whole.affine) @ shown.affine @ [0, 0, 0, 1]
    step = np.rint(np.linalg.norm(shown.affine[:3, :3], axis=0) / np.linalg.norm(whole.affine[:3, :3], axis=0))
    start = np.rint(first[:3] - (step - 1) / 2).astype(int)
    block = tuple(slice(s, s + int(n)) for s, n in zip(start, step, strict=True))
    assert shown.get_fdata()[0, 0, 0] == pytest.approx(expected[block].mean(), abs=0.0003)
    assert viewer.volumes(run, 100) is None


def test_the_viewer_can_be_left_out(subject, settings, context):
    report(subject, settings, context, {})
    whole = (context.output_dir / "sub-01.html").stat().st_size
    settings.values["report"] = {"viewer": False}
    report(subject, settings, context, {})
    page = (context.output_dir / "sub-01.html").read_text()
    assert "niivue" not in page
    assert 'class="viewer"' not in page
    assert len(page) < whole - 900_000


@contextmanager
def served(folder):
    """Give the address of a web server of a folder."""
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.browser
def test_a_browser_finds_no_barrier_on_the_page(subject, settings, context):
    report(subject, settings, context, {})
    page = context.output_dir / "sub-01.html"
    browser = Browser()
    try:
        for width, scheme in ((1280, "light"), (400, "dark")):
            browser.open(page, width=width, scheme=scheme)
            browser.wait("document.querySelector('.viewer').dataset.state === 'drawn'")
            assert browser.console == []
            assert [url for url in browser.requests if not url.startswith(("data:", "blob:"))] == [page.as_uri()]
            assert browser.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
            assert browser.run(SCROLLING)["lost"] == 0
            assert (browser.run(SCROLLING)["reached"] > 5) == (width < 1000)
            assert (
                browser.run(
                    "Math.min(...[...document.querySelectorAll('.picture img:not([hidden])')]"
                    ".map((i) => i.clientWidth))"
                )
                >= 700
            )  # texts in pictures stay readable
            assert browser.problems() == []
        assert browser.run(
            "[...document.querySelectorAll('a[href^=\"#\"]')].every((a) => "
            "document.getElementById(a.getAttribute('href').slice(1)))"
        )
        figure = "document.querySelector('button.change').closest('figure')"
        shown = f"[...{figure}.querySelectorAll('img')].map((i) => i.hidden)"
        browser.run("document.querySelector('button.change').focus()")
        assert browser.run(shown) == [False, True]
        browser.press("Enter")
        assert browser.run(shown) == [True, False]
        with served(page.parent) as address:
            browser.visit(f"{address}/{page.name}")
            browser.wait("document.querySelector('.viewer').dataset.state === 'drawn'")
            assert browser.console == []
            asked = [url for url in browser.requests if not url.startswith(("data:", "blob:"))]
            assert asked == [f"{address}/{page.name}"]
        browser.open(page, reduced=True)
        assert browser.run("document.querySelector('button.play').hidden")
    finally:
        browser.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("options", "state"),
    [(["--use-angle=swiftshader", "--enable-unsafe-swiftshader"], "drawn"), (["--disable-3d-apis"], "fallback")],
)
def test_a_browser_draws_the_viewer_or_tells_why_not(subject, settings, context, options, state):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    report(subject, settings, context, {})
    page = context.output_dir / "sub-01.html"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        *options,
        "--virtual-time-budget=20000",
        "--enable-logging=stderr",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert f'data-state="{state}"' in done.stdout
    assert bool(re.search(r"<output[^>]*>-?[0-9.]+ ppm at", done.stdout)) == (state == "drawn")
    # The page's own policy forbids every request; a try would be an error on the console.
    assert "CONSOLE" not in done.stderr
