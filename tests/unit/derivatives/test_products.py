"""The table of products: read whole, checked, and no two of one name."""

import pytest

from bids_app.derivatives import products
from bids_app.derivatives.columns import LOOKUP_COLUMNS
from bids_app.derivatives.products import PRODUCTS, product_from


def test_kinds_give_defaults_and_entries_win():
    mask = product_from("m", {"kind": "mask", "entities": {"desc": "x"}, "description": "Mask"})
    assert (mask.suffix, mask.dtype, mask.datatype, mask.entities) == ("mask", "uint8", "anat", (("desc", "x"),))
    working = product_from("w", {"kind": "working", "extension": ".json", "description": "Facts"})
    assert (working.suffix, working.kind, working.in_work_dir) == ("w", "json", True)
    labels = product_from("s", {"kind": "segmentation", "dtype": "int16", "description": "Labels"})
    assert (labels.is_segmentation, labels.columns, labels.labelled, labels.dtype) == (
        True,
        LOOKUP_COLUMNS,
        "seg",
        "int16",
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kind": "msk"}, "kind must be one of map, head"),
        ({"unitt": "ppm"}, r"unknown fields \['unitt'\]"),
        ({"unit": 3}, "unit cannot be 3"),
        ({"skull_stripped": "no"}, "skull_stripped cannot be 'no'"),
        ({"entities": ["desc"]}, "entities cannot be"),
        ({"columns": "regionn"}, "columns cannot be 'regionn'"),
        ({"drop": "rec"}, "drop cannot be 'rec'"),
    ],
)
def test_mistakes_in_the_table_name_the_product(values, says):
    with pytest.raises(ValueError, match=f"product 'p': {says}"):
        product_from("p", {"description": "P", **values})


def test_two_products_of_one_name_are_refused(tmp_path, monkeypatch):
    table = tmp_path / "products.toml"
    table.write_text('[a]\nsuffix = "Chimap"\n\n[b]\nsuffix = "Chimap"\n')
    monkeypatch.setattr(products, "__file__", str(table.with_suffix(".py")))
    with pytest.raises(ValueError, match="products 'b' and 'a' would have one name"):
        products._table.__wrapped__()


def test_labelled_keys():
    assert PRODUCTS["regions@nuclei"].entities == (("desc", "chi"), ("seg", "nuclei"))
    assert "regions@nuclei" in PRODUCTS
    assert "regions@" not in PRODUCTS
    assert "chimap@x" not in PRODUCTS
    with pytest.raises(KeyError):
        PRODUCTS["nothing@x"]


def test_every_product_is_described():
    assert [key for key, product in PRODUCTS.items() if not product.description or not product.suffix] == []
