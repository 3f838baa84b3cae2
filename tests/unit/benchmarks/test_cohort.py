"""What the benchmarks of the group say of a table of models, and of a template's iterations."""

from benchmarks import cohort, template


def row(name, side, term, estimate, significant="false", half=0.01):
    return {
        "name": name,
        "hemisphere": side,
        "term": term,
        "estimate": str(estimate),
        "ci_low": str(estimate - half),
        "ci_high": str(estimate + half),
        "significant": significant,
    }


def test_effects_are_counted_by_sign_interval_and_significance():
    rows = [
        row("putamen", "R", cohort.GROUP, 0.03, "true"),
        row("pallidum", "L", cohort.GROUP, -0.01),
        row("caudate", "R", cohort.GROUP, 0.02, "true"),
        row("putamen", "R", "age", 0.001, "true", 0.0005),
        row("putamen", "R", "Intercept", 0.1),
    ]
    true = {(r["name"], r["hemisphere"], r["term"]): 0.035 if r["term"] != "age" else 0.002 for r in rows}
    lines, counts = cohort.judged("planted", 1, "true", rows, true)
    assert counts["group"] == {"planted": 2, "signs": 1, "regions": 3, "inside": 1, "significant": 1, "false": 1}
    assert counts["age"] == {"planted": 1, "signs": 1, "regions": 1, "inside": 0, "significant": 1, "false": 0}
    assert lines[0] == (
        "planted",
        1,
        "true",
        "group",
        "1 of 2",
        "1 of 3",
        "1 of 2",
        1,
        "0.0300, -0.0100",
        "0.0350, 0.0350",
    )
    _, none = cohort.judged("null", 1, "true", rows, true)
    assert (none["group"]["planted"], none["group"]["false"], none["age"]["false"]) == (0, 2, 1)
    said = cohort.summary([counts, none], 0.04)
    assert "1 of 2 planted differences have the right sign, 1 are significant" in said
    assert said.endswith("Significant where nothing was planted: 4 regions.")


def test_iterations_are_listed_beside_the_single_pass():
    row = {
        "kind": "syn",
        "iteration": "3",
        "sharpness": "0.0078",
        "sharpness_to_single": "1.14",
        "overlap": "0.69",
        "overlap_to_single": "0.084",
        "shape_update_mm": "0.4",
    }
    assert template.line(4, 4, row)[2:] == ("iteration 3, syn", "0.00780", "x1.14", "0.690", "+0.084", "0.40")
    assert template.line(4, 4, row | {"kind": "single"})[2] == "single affine pass"
