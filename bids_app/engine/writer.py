"""Writes what a step's function returned: images, tables, transforms, and the sidecars that go with them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import Written, place_file, read_grid, write_image, write_json, write_table
from bids_app.derivatives.names import lookup_path, sidecar_path
from bids_app.derivatives.products import PRODUCTS, Product
from bids_app.model.context import Context
from bids_app.model.step import ACCOMPANYING, Output


def write_product(
    key: str, path: Path, output: Output, inputs: Mapping[str, Path], parameters: Mapping[str, object], context: Context
) -> dict[Path, Written]:
    """Write one product and the files that accompany it, and return each file as it was written.

    Raises
    ------
    RuntimeError
        If the output lacks what the product's kind needs (a mistake in the step).
    """
    product = PRODUCTS[key]
    written = _CONTENT[product.kind](product, path, output)
    if product.in_work_dir or product.kind == "json":
        return written
    images = (path for name, path in inputs.items() if not name.startswith(ACCOMPANYING))
    sources = [_uri(source, context) for source in images if context.work_dir not in source.parents]
    common = {"Sources": sources, "Parameters": dict(parameters)}
    if product.kind == "table":
        columns = list(output.rows[0]) if output.rows else []
        known = {name: dict(text) for name, text in product.columns.items() if name in columns}
        return written | _sidecar(path, known | common | dict(output.sidecar))
    sidecar: dict[str, object] = {"Description": product.description, "Sources": sources}
    if product.unit:
        sidecar["Units"] = product.unit
    if product.suffix == "mask":
        sidecar["Type"] = "Brain"
    elif product.kind == "image":
        sidecar["SkullStripped"] = product.skull_stripped
    return written | _sidecar(path, sidecar | {"Parameters": dict(parameters), **output.sidecar})


def _sidecar(path: Path, content: Mapping[str, object]) -> dict[Path, Written]:
    return {sidecar_path(path): write_json(sidecar_path(path), content)}


def _image(product: Product, path: Path, output: Output) -> dict[Path, Written]:
    if output.data is None or (output.like is None and output.affine is None):
        raise RuntimeError(f"product {product.key!r} has no data or no affine")
    affine = output.affine if output.affine is not None else read_affine(output.like)
    data = np.asarray(output.data)
    written: dict[Path, Written] = {}
    if product.is_segmentation:
        if output.rows is None or any(not {"index", "name"} <= set(row) for row in output.rows):
            raise RuntimeError(f"segmentation {product.key!r} needs rows with index and name of every label")
        if not np.array_equal(data, np.rint(data)):
            raise RuntimeError(f"segmentation {product.key!r} holds values that are no integers")
        written[lookup_path(path)] = write_table(lookup_path(path), output.rows)
    return written | {path: write_image(path, data, affine, product.dtype)}


def _table(product: Product, path: Path, output: Output) -> dict[Path, Written]:
    if not output.rows:
        raise RuntimeError(f"table {product.key!r} has no rows")
    unknown = set(output.rows[0]) - set(product.columns) - set(output.sidecar)
    if unknown:
        raise RuntimeError(f"table {product.key!r} has columns that its dictionary does not describe: {unknown}")
    return {path: write_table(path, output.rows)}


def _json(product: Product, path: Path, output: Output) -> dict[Path, Written]:
    if not output.sidecar:
        raise RuntimeError(f"product {product.key!r} has no content")
    return {path: write_json(path, dict(output.sidecar))}


def _file(product: Product, path: Path, output: Output) -> dict[Path, Written]:
    if output.file is None or not output.file.is_file():
        raise RuntimeError(f"product {product.key!r} has no file")
    return {path: place_file(output.file, path)}


_CONTENT = {"image": _image, "table": _table, "json": _json, "file": _file}


def read_affine(path: Path | None) -> npt.NDArray[np.float64]:
    """Return the affine of an image file."""
    if path is None:
        raise RuntimeError("an image needs an affine")
    return read_grid(path)[1]


def _uri(path: Path, context: Context) -> str:
    for root, name in ((context.output_dir, ""), (context.bids_dir, "raw")):
        if root in path.parents:
            return f"bids:{name}:{path.relative_to(root).as_posix()}"
    return path.name
