"""The page of the group: who is in it, where everybody lies, what the models find, and how it is used."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from bids_app.cli.command import main
from bids_app.derivatives.files import write_image, write_json, write_table
from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.model.step_record import StepRecord
from bids_app.report.group import everybody
from bids_app.report.group.page import _segmentation as shown_of
from bids_app.report.group.page import report, report_done
from bids_app.report.group.tables import Segmentation
from bids_app.report.methods.group import GroupRecords, group_methods_text
from bids_app.report.participant.collect import Run
from tests.helpers.browser import SCROLLING, Browser
from tests.helpers.group_study import write_step, write_table_study
from tests.unit.report.test_subject_page import Page

SHAPE = (16, 20, 14)
AFFINE = np.diag([8.0, 8.0, 8.0, 1.0])
QC = {"field_drift": [0.2, 0.3, 0.25, 1.7], "mask_volume": [1400.0, 1500.0, 1450.0, 1300.0]}


def group(bids, out, *more):
    words = [str(bids), str(out), "group", "--nprocs", "1", "--omp-nthreads", "1", "--template", "none"]
    return main([*words, "--model", "chi ~ age + group", *more])


def record(out, name, step, products, metrics=None, warnings=(), parameters=None, methods=()):
    """Write the record of a step of the group, a template or a participant."""
    paths = {key: str(path.relative_to(out)) for key, path in products.items()}
    folder = out / "logs/records" / ("" if name.startswith("group") else name.partition("_")[0])
    content = {
        "step": step,
        "basename": name,
        "paths": paths,
        "fingerprint": step,
        "started": "2026-01-01",
        "metrics": metrics or {},
        "parameters": parameters or {},
        "methods": list(methods),
        "warnings": list(warnings),
    }
    write_json(folder / f"{name}_step-{step}.json", content)


def place(out, key, entities=()):
    path = product_path(PRODUCTS[key], dict(entities), out, out / "work")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_quality(out):
    rows = [
        {
            "participant_id": f"sub-{n:02d}",
            "session_id": None,
            "run": f"sub-{n:02d}",
            "status": "found",
            **{name: values[(n - 1) % 4] for name, values in QC.items()},
            "flags": "field_drift" if n % 4 == 0 else None,
        }
        for n in range(1, 13)
    ]
    write_table(place(out, "group_qc"), rows)
    record(out, "group", "quality", {"group_qc": place(out, "group_qc")}, warnings=("3 <b>runs</b> are flagged",))


TEMPLATE = {
    "resolution": 1.0,
    "registration_resolution": 2.0,
    "magnitude_weight": 0.5,
    "sharpening": 0.0,
    "syn_coarse": 60,
    "syn_middle": 30,
    "syn_fine": 10,
}
VOXELWISE = {"run": True, "smoothing": 2.0, "permutations": 0, "seed": 3, "fdr": 0.05, "fwe": 0.01}


def write_maps(out, space, volumes, tables):
    files = {}
    for key, data in volumes.items():
        files[key] = place(out, key, (("tpl", space),))
        write_image(files[key], data, AFFINE, PRODUCTS[key].dtype)
    for key, rows in tables.items():
        files[key] = place(out, key, (("tpl", space),))
        write_table(files[key], rows)
    return files


def write_template(out):
    """Write a template, its registration to another one, the maps there, and a model of their voxels."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.8
    labels = np.where(mask & (x > 0.3), 1, 0) + np.where(mask & (x < -0.3), 2, 0)
    chi = np.where(mask, 0.05 * x, 0)
    t = np.stack([5 * x * mask, -5 * x * mask], axis=-1)
    averages = {
        "mean_chimap": chi,
        "median_chimap": chi,
        "sd_chimap": np.abs(chi),
        "count_chimap": 12 * mask,
        "mask_group": mask,
        "dseg_template@nuclei": labels,
        "mean_r2star": 20 * mask,
    }
    tested = {"stat_t@group": t, "stat_fdr@group": np.where(np.abs(t) > 3, t, 0)}
    iterations = [
        {
            "iteration": n,
            "kind": kind,
            "participants": 12,
            "sharpness": 0.005 + 0.001 * n,
            "overlap": 0.5 + 0.05 * n,
            "shape_update_mm": 3.0 / (n + 1),
        }
        for n, kind in enumerate(("start", "rigid", "syn"))
    ]
    iterations.append(iterations[1] | {"iteration": None, "kind": "single", "sharpness": 0.0055})
    models = [
        {"contrast": "group", "volume": n, "term": f"group[{n}]", "response": "chi", "participants": 12, "df": 9}
        for n in range(2)
    ]
    clusters = [
        {
            "term": "group[0]",
            "correction": "fdr",
            "cluster": 1,
            "voxels": 20,
            "volume_mm3": 300,
            "region": "putamen L",
            "peak_t": 4.9,
            "peak_x": 1,
            "peak_y": 2,
            "peak_z": 3,
        }
    ]
    study = write_maps(out, "study", averages | {"template_magnitude": 100 * mask}, {"convergence": iterations})
    record(out, "tpl-study_maps", "maps", study, {"participants": 12, "overlap_nuclei": 0.77})
    record(out, "tpl-study_iteration2", "average", {}, {"participants": 12}, parameters={"template": TEMPLATE})
    similar = {"overlap_dice": 0.93, "mutual_information": 1.2, "mutual_information_shifted": 1.1}
    record(out, "tpl-study_toMNI", "standard_space", {}, similar, warnings=("less exact",), methods=("affine", "syn"))
    written = write_maps(out, "MNI", averages, {})
    record(out, "tpl-MNI_maps", "maps", written, {"participants": 12})
    written = write_maps(out, "MNI", tested, {"voxelwise": models, "voxelwise_clusters": clusters})
    parameters = {"voxelwise": VOXELWISE, "statistics": {"model": "chi ~ age + group"}}
    record(
        out,
        "tpl-MNI_voxelwise",
        "voxelwise",
        written,
        {"voxels": 1234, "space": "MNI"},
        parameters=parameters,
        methods=("ols", "fdr"),
    )
    record(
        out,
        "tpl-study_manual",
        "manual_segmentation",
        {"dseg_manual@mine": place(out, "dseg_manual@mine", (("tpl", "study"),))},
        {"labels": 3},
    )
    record(out, "sub-01_manual", "manual_regions", {}, parameters={"regions": {"erosion": 1}})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return twelve participants' tables: one is broken, one's putamen is far from the others'; with a template."""
    bids, out = write_table_study(tmp_path_factory.mktemp("group"))
    for path in out.rglob("sub-05*stats.tsv"):
        lines = path.read_text().splitlines()
        column = lines[0].split("\t").index("chi_mean")
        cells = lines[1].split("\t")
        cells[column] = "0.9"
        path.write_text("\n".join([lines[0], "\t".join(cells), *lines[2:]]) + "\n")
        chi = path.with_name("sub-05_Chimap.nii.gz")
        write_step(out, "sub-05", "regions-given", "sub-05", {"regions@nuclei": path}, [chi])
    (out / "sub-03/anat/sub-03_Chimap.nii.gz").unlink()
    (out / "sub-01.html").write_text("<!doctype html><title>x</title>")
    assert group(bids, out, "--allow-missing") == 0
    return bids, out


@pytest.fixture(scope="module")
def full(study):
    """Return the output with quality control and a template, its page and what made it."""
    _, out = study
    write_quality(out)
    write_template(out)
    settings = SimpleNamespace(to_mapping=lambda: {"qc": {"drift_max": 1.0}, "statistics": {"fdr": 0.05}})
    context, payload = SimpleNamespace(output_dir=out), {"spaces": ("study", "MNI"), "results": {}}
    assert report(None, settings, context, payload) == []
    return out, settings, context, payload


@pytest.fixture(scope="module")
def page(full):
    return (full[0] / "group.html").read_text()


def test_the_level_ends_with_its_page_and_writes_it_again(study, capfd):
    bids, out = study
    page = out / "group.html"
    assert "12 runs: 11 found, 1 failed" in page.read_text()
    page.unlink()
    assert group(bids, out, "--reports-only") == 0
    assert page.is_file()
    capfd.readouterr()
    assert group(bids, out, "--allow-missing", "--dry-run") == 0
    assert "group_report (stage report): report" in capfd.readouterr().out


def test_the_missing_the_flagged_and_the_outlying_are_told(page):
    row = {n: re.search(rf'<tr data-run="sub-{n:02d}".*?</tr>', page, re.S)[0] for n in (1, 3, 4, 5)}
    assert '<a href="sub-01.html#sub-01">' in row[1]
    assert 'badge failed">failed' in row[3]
    assert "no susceptibility map" in row[3]
    assert "<td>field_drift</td>" in row[4]
    assert "caudate R (chi_mean, z" in row[5]
    assert [n for n in row if 'class="marked"' in row[n]] == [3, 4, 5]
    assert "3 runs have metrics of quality control out of their expected range" in page
    assert "3 &lt;b&gt;runs&lt;/b&gt; are flagged" in page


def test_dots_are_marked_where_the_tables_say_so(page):
    panel = re.search(r"<h3>field_drift</h3>.*?</svg>", page, re.S)[0]
    marked = re.findall(r'class="dot marked" data-run="(sub-\d+)"', panel)
    assert sorted(marked) == ["sub-04", "sub-08", "sub-12"]
    assert 'class="expected"' in panel
    assert "<title>sub-04: 1.7 Hz</title>" in panel
    strips = re.search(r"<h3>Regions of nuclei</h3>.*?</svg>", page, re.S)[0]
    assert re.findall(r'dot marked" data-run="(sub-\d+)"[^>]*><title>(.*?)</title>', strips) == [
        ("sub-05", "sub-05: caudate R 0.9")
    ]


def test_effects_and_covariates_are_drawn(page):
    assert "<code>chi ~ age + group</code>" in page
    assert "<h4>age: nuclei</h4>" in page
    assert "<h4>putamen L: age</h4>" in page
    assert "<h4>putamen L: group</h4>" in page
    assert "patient median" in page
    assert page.count('class="fit"') >= 14
    assert "<h4>group: patient against control: nuclei</h4>" in page
    assert "effect (ppm per year)" in page and ">mean susceptibility (ppm)<" in page and ">age (year)<" in page
    groups = dict(re.findall(r'data-run="(sub-\d+)" data-group="(\d)"', page))
    assert len(groups) == 11 and set(groups.values()) == {"0", "1"}
    assert re.search(r'data-group="1"[^>]*><title>group: patient</title>', page)  # the legend
    effects = re.search(r'aria-label="Effects of nuclei".*?</table>', page, re.S)[0]
    assert ">df<" in effects and '<td class="words">ppm per year</td>' in effects


def test_tables_are_linked_with_what_r_must_know(page):
    for name in ("group_cohort.tsv", "group_seg-nuclei_desc-wide_stats.csv", "group_seg-nuclei_desc-model_stats.tsv"):
        assert f'<a href="{name}">' in page
    assert 'read.csv("group_seg-nuclei_desc-wide_stats.csv", na.strings = "n/a")' in page.replace("&#34;", '"')


def test_everybodys_map_is_shown_and_who_has_none_is_named(tmp_path):
    for n in range(66):
        path = everybody.map_of(f"sub-{n:02d}", tmp_path)
        path.parent.mkdir(parents=True)
        write_image(path, np.ones((6, 7, 5), np.float32), AFFINE, "float32")
    path.write_bytes(b"cut")
    first, second = everybody.pictures([f"sub-{n:02d}" for n in range(67)], tmp_path)
    assert (first.title, second.title) == ("Susceptibility maps, 1 to 64 of 65", "Susceptibility maps, 65 to 65 of 65")
    assert "Without a readable map: sub-65, sub-66." in first.caption
    assert second.height < first.height
    assert everybody.pictures([], tmp_path) == []


def test_the_template_and_voxelwise_maps_are_shown(page):
    elements = Page(page)
    titles = re.findall(r"<h[34]>([^<]*)</h[34]>", page)
    for title in (
        "Average maps",
        "Spread and number",
        "Template",
        "Segmentation nuclei",
        "Sharpness",
        "Overlap",
        "group[0] on chi",
        "group[1] on chi",
        "Clusters",
    ):
        assert title in titles
    assert titles.count("Average maps") == 2  # in the template's space and in the output space
    assert '<h2 id="space-MNI">' in page
    assert '<h2 id="voxels-MNI">' in page
    assert '<h2 id="voxels-study">' not in page
    assert "overlap by 0.77" in page
    assert "Registration of the template to MNI: the heads overlap by 0.93" in page
    assert "less exact" in page
    assert all(len(a["alt"]) > 15 for tag, a in elements.tags if tag == "img")
    assert all(b - a <= 1 for a, b in zip(elements.headings, elements.headings[1:], strict=False))
    ids = [a["id"] for _, a in elements.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert len(page) < 8_000_000


def test_the_text_says_what_ran(page):
    text = re.search(r'id="methods-group">(.*?)</div>', page, re.S)[1]
    for part in (
        "11 of 12 gradient-echo runs",
        "1 failed",
        "built from 12 participants",
        "1 iteration of rigid registration, 1 iteration of non-linear registration",
        "60/30/10 iterations",
        "registered to MNI of TemplateFlow (Ciric et al. 2022)",
        "overlap of the heads 0.93",
        "brought to the space of the template by one linear interpolation",
        "brought to the space of MNI by one linear interpolation",
        "manual segmentation of the template (mine, 3 regions)",
        "after erosion by 1 voxels",
        "every voxel of the maps of 12 participants (9 degrees of freedom)",
        "Gaussian of 2 mm (FWHM)",
        "1234 voxels where everybody has a value",
        "family-wise error rate of 0.01 by Bonferroni",
        "statsmodels",
        "nilearn",
        "ANTsPy",
        "“chi ~ age + group” was fitted to every region by ordinary least squares",
        "(Benjamini and Hochberg 1995)",
        "robust z score beyond 3.5",
    ):
        assert part in text.replace("&#34;", '"'), part


def test_the_text_says_nothing_of_what_did_not_run(page, tmp_path):
    text = re.search(r'id="methods-group">(.*?)</div>', page, re.S)[1]
    for part in ("N4", "Several runs", "permutation", "Sessions", "random intercept", "affine registration, 1"):
        assert part not in text, part
    run = Run("tpl-study_voxelwise", tmp_path)
    run.records["voxelwise"] = StepRecord(
        "voxelwise",
        run.basename,
        parameters={"voxelwise": VOXELWISE | {"permutations": 500}},
        metrics={"voxels": 9, "space": "study"},
        methods=("ols", "fdr", "permutation", "new"),
    )
    average = Run("sub-01_subject", tmp_path)
    name = average.basename
    average.records["subject"] = StepRecord("subject", name, methods=("n4",), metrics={"channels": ["magnitude"]})
    average.records["register"] = StepRecord("register", name, parameters={"template": TEMPLATE}, methods=("syn",))
    text = group_methods_text(GroupRecords([Run("group", tmp_path)], [run], [average], {}, repeated=True))
    said = " ".join(text.plain())
    for part in (
        "corrected for intensity inhomogeneity by N4",
        "registered to the given template",
        "Several runs",
        "500 permutations (Freedman and Lane 1983; Nichols and Holmes 2002; seed 3)",
        "Sessions of a",
    ):
        assert part in said, part
    for part in ("T1-weighted image", "built from", "robust z", "TemplateFlow", "statsmodels"):
        assert part not in said, part
    assert text.missing == ("a sentence on the method new",)


def test_found_effects_are_counted_without_the_intercept():
    def row(term, significant):
        return {"term": term, "significant": significant, "estimate": "n/a", "name": "putamen", "hemisphere": "L"}

    rows = [row("Intercept", "true"), row("age", "true"), row("age", "false"), row("group", "true")]
    segmentation = Segmentation("nuclei", [], [], [], rows, "chi ~ age + group", 0.05, 0.95)
    assert shown_of(segmentation)["significant"] == 2


def test_the_page_is_made_again_only_where_something_changed(full):
    out, settings, context, payload = full
    assert report_done(None, settings, context, payload)
    failure = SimpleNamespace(step="model", sentence="no <such> column", traceback="line 7", blocked=False)
    failed = payload | {"results": {"group": SimpleNamespace(failures=[failure])}}
    assert not report_done(None, settings, context, failed)
    report(None, settings, context, failed)
    assert "step model failed.</strong> no &lt;such&gt; column" in (out / "group.html").read_text()
    report(None, settings, context, payload | {"results": {"group": SimpleNamespace(failures=[])}})
    assert "no &lt;such&gt; column" not in (out / "group.html").read_text()


def test_without_anything_there_is_a_page(tmp_path):
    settings = SimpleNamespace(to_mapping=dict)
    context = SimpleNamespace(output_dir=tmp_path)
    assert report(None, settings, context, {}) == []
    assert "There is no list of participants" in (tmp_path / "group.html").read_text()


@pytest.mark.browser
def test_a_browser_sorts_points_and_finds_no_barrier(full):
    out = full[0]
    browser = Browser()
    try:
        for width, scheme in ((1280, "light"), (400, "dark")):
            browser.open(out / "group.html", width=width, scheme=scheme)
            assert browser.console == []
            assert [url for url in browser.requests if not url.startswith("data:")] == [(out / "group.html").as_uri()]
            assert browser.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
            assert browser.run(SCROLLING)["lost"] == 0
            assert browser.run(SCROLLING)["reached"] > 0
            assert browser.problems() == []
        links = browser.run("[...document.links].map((a) => a.getAttribute('href'))")
        assert all(
            link.startswith("https://doi.org/") or link.startswith("#") or (out / link.partition("#")[0]).is_file()
            for link in links
        )
        assert browser.run(
            "[...document.querySelectorAll('a[href^=\"#\"]')].every((a) => "
            "document.getElementById(a.getAttribute('href').slice(1)))"
        )
        # The keyboard alone: go to the header of the drift, press Enter twice.
        browser.run(
            "[...document.querySelectorAll('#runs button')]"
            ".find((b) => b.textContent.startsWith('field_drift')).focus()"
        )
        first = "document.querySelector('#runs tbody tr').dataset.run"
        browser.press("Enter")
        assert browser.run(first) == "sub-01"
        browser.press("Enter")
        assert browser.run(first) in ("sub-04", "sub-08", "sub-12")
        assert browser.run("document.querySelector('#runs th[aria-sort]').getAttribute('aria-sort')") == "descending"
        browser.run(
            "document.querySelector('.dot[data-run=sub-05]').dispatchEvent("
            "new PointerEvent('pointerover', {bubbles: true}))"
        )
        assert browser.run("document.querySelector('tr.lit').dataset.run") == "sub-05"
        assert browser.run("document.querySelector('output.reading').textContent").startswith("sub-05: ")
        browser.run("document.getElementById('marked-only').click()")
        assert browser.run("[...document.querySelectorAll('#runs tbody tr')].filter((r) => !r.hidden).length") == 6
    finally:
        browser.close()
