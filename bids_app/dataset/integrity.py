"""Whether the products of a run are those that its records describe: bytes, and the chain from step to step."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from bids_app.derivatives.digests import digest_of_file
from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.model.naming import entities_in
from bids_app.model.step_record import FileState, StepRecord

#: Products of a participant that the tables, the models and the page of the group read.
TABLE_READS = ("chimap", "regions@", "qc")
#: Those that the template and the maps in its space read besides.
TEMPLATE_READS = (
    "mask_qsm",
    "magnitude",
    "r2star",
    "chi_paramagnetic",
    "chi_diamagnetic",
    "dseg_gre@",
    "t1w_preproc",
    "xfm_t1w_to_gre",
    "xfm_t1w_to_gre_warp",
)
#: Folders of products; all others hold working files.
_FOLDERS = ("anat", "fmap")
#: Files larger than this count as unchanged in a quick check where size and time are those of the record, bytes.
_SMALL = 1 << 20


def is_read(key: str, reads: Sequence[str]) -> bool:
    """Return whether a product is among ``reads``; ``regions@`` there stands for those of all segmentations."""
    return key in reads or f"{key.partition('@')[0]}@" in reads


@dataclass
class Verifier:
    """Compares files with their records; what it has read counts for the rest of this command.

    ``quick`` takes large files as unchanged where their size and modification time are those of the record. A file
    that was edited and got its old time back is not found then.
    """

    quick: bool = False
    _known: dict[Path, tuple[tuple[int, int, int], str]] = field(default_factory=dict)

    def is_same(self, path: Path, state: FileState | None, digest: str) -> bool | None:
        """Return whether a file has the bytes that a record describes, None where there is no file."""
        now = _stat(path)
        if now is None:
            return None
        if state is not None and state.size != now.st_size:
            return False
        if self._is_trusted(now, state):
            return True
        known = self._known.get(path)
        if known is None or known[0] != _mark(now):
            known = self._known[path] = (_mark(now), digest_of_file(path))
        return known[1] == digest

    def _is_trusted(self, now: os.stat_result, state: FileState | None) -> bool:
        same_time = state is not None and state.mtime_ns == now.st_mtime_ns
        return self.quick and now.st_size > _SMALL and same_time

    def read_ahead(self, files: Iterable[tuple[Path, FileState | None]], threads: int) -> None:
        """Read files that will be compared, several at a time."""

        def read(file: tuple[Path, FileState | None]) -> None:
            self.is_same(*file, "")

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, files))


def _stat(path: Path) -> os.stat_result | None:
    """Return the state of a plain file, None where there is none."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return state if S_ISREG(state.st_mode) else None


def _mark(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ino


@dataclass(frozen=True)
class _Claim:
    """What the newest record that has made a file says of it."""

    record: StepRecord
    digest: str


@dataclass(frozen=True)
class RunRecords:
    """The records of one run, and those of the participant's anatomical images."""

    basename: str
    records: tuple[StepRecord, ...]
    anatomical: tuple[StepRecord, ...] = ()

    @property
    def every(self) -> tuple[StepRecord, ...]:
        """All records, in the order in which the steps began."""
        return tuple(sorted((*self.records, *self.anatomical), key=lambda record: record.started))

    @cached_property
    def claims(self) -> Mapping[str, _Claim]:
        """The newest record of every file: a step of a former version may have made the same one."""
        return {
            _place_of(record.paths[key], name): _Claim(record, digest)
            for record in self.every
            for key, digests in record.outputs.items()
            if key in record.paths
            for name, digest in digests.items()
        }

    @cached_property
    def stale(self) -> Mapping[str, str]:
        """The files that were made from others than those that are recorded now, each with the reason."""
        reasons: dict[str, str] = {}
        for _ in self.every:  # what is made from a stale file is stale
            before = len(reasons)
            for record in self.every:
                places = self._own(record)
                reason = self._reason(record, places, reasons)
                reasons |= {place: reason for place in places if reason and place not in reasons}
            if len(reasons) == before:
                break
        return reasons

    def _own(self, record: StepRecord) -> set[str]:
        """Return the files that a record is the newest one of."""
        return {place for place, claim in self.claims.items() if claim.record is record}

    def _claims(self, record: StepRecord, key: str, name: str) -> bool:
        return self.claims[_place_of(record.paths[key], name)].record is record

    @property
    def current(self) -> tuple[StepRecord, ...]:
        """The records that describe files of today: not those that an earlier command with other options has left."""
        return tuple(
            record for record in self.every if (places := self._own(record)) and not places & self.stale.keys()
        )

    def _reason(self, record: StepRecord, places: set[str], stale: Mapping[str, str]) -> str:
        for state in record.files:
            place = _place_of(state.path)
            if place in places:
                continue
            claim = self.claims.get(place)
            if claim is not None and claim.digest != state.hash:
                return f"made from an earlier {_name(place)}"
            if place in stale:
                return stale[place]  # the first cause, however many steps lie between
            if claim is None and self._is_product(state.path):
                return f"made from {_name(place)}, of which there is no record (a run was interrupted)"
        return ""

    def _is_product(self, relative: str) -> bool:
        """Return whether a path is that of a product of the run, but for labelled ones, which may be given files."""
        path = PurePosixPath(relative)
        if ".." in path.parts or path.is_absolute() or self.basename.partition("_")[0] not in path.parts:
            return False
        return path.name in self._product_names

    @cached_property
    def _product_names(self) -> frozenset[str]:
        entities = dict(entities_in(self.basename))
        plain = (product for product in PRODUCTS.values() if not product.labelled)
        return frozenset(product_path(product, entities, Path(), Path()).name for product in plain)

    def files_read(self, output_dir: Path, reads: Sequence[str]) -> list[tuple[Path, FileState | None]]:
        """Return the files of the products that are read, with their states by the record."""
        return [
            (path, state)
            for record in self.every
            for key in record.outputs
            if is_read(key, reads)
            for path, state, _ in self._files(record, key, output_dir)
        ]

    def _files(self, record: StepRecord, key: str, output_dir: Path) -> list[tuple[Path, FileState | None, str]]:
        """Return path, recorded state and digest of a product's files; none where the record names another place."""
        expected = _expected_path(key, record, output_dir)
        if expected is None or record.paths.get(key) != expected.relative_to(output_dir).as_posix():
            return []
        states = {state.path: state for state in record.files}
        folder = PurePosixPath(record.paths[key]).parent
        return [
            (expected.with_name(name), states.get(str(folder / name)), digest)
            for name, digest in record.outputs[key].items()
            if PurePosixPath(name).name == name
        ]

    def products(self, output_dir: Path, reads: Sequence[str], verifier: Verifier) -> "Products":
        """Return which products are there and valid, and what is wrong about others of ``reads``.

        The files of products in ``reads`` are compared with their digests, those of others by their size.
        """
        made, changed, stale = set[str](), dict[str, str](), dict[str, tuple[str, str]]()
        for record in self.every:
            for key in record.outputs:
                compared = is_read(key, reads)
                if not compared and record.basename != self.basename:
                    continue
                files = self._files(record, key, output_dir)
                files = [file for file in files if self._claims(record, key, file[0].name)]
                problem = _problem(files, compared, verifier)
                place = _place_of(record.paths.get(key, ""))
                if problem:
                    changed |= {key: problem} if compared else {}
                elif problem is not None and place in self.stale:
                    stale |= {key: (_name(place), self.stale[place])} if compared else {}
                elif problem is not None and record.basename == self.basename:
                    made.add(key)
        return Products(tuple(sorted(made - changed.keys() - stale.keys())), changed, stale)


@dataclass(frozen=True)
class Products:
    """The products of a run: valid ones, and what is wrong about others."""

    made: tuple[str, ...]  # keys
    changed: Mapping[str, str]  # by key: files with other bytes than their records describe
    stale: Mapping[str, tuple[str, str]]  # by key: file, and why it was made from others than those of today


def _name(place: str) -> str:
    return place.rpartition("/")[2]


def _problem(files: Sequence[tuple[Path, FileState | None, str]], is_compared: bool, verifier: Verifier) -> str | None:
    """Return what is wrong with a product's files; empty if nothing is, None where one is not there."""
    if not files:
        return None
    for path, state, digest in files:
        if is_compared:
            same = verifier.is_same(path, state, digest)
        else:
            now = _stat(path)
            same = None if now is None else state is None or state.size == now.st_size
        if same is None:
            return None
        if not same:
            return f"{path.name} was changed after it was made; remove it and run the level participant again"
    return ""


def _expected_path(key: str, record: StepRecord, output_dir: Path) -> Path | None:
    """Return where a product of a record lies, None for a working file and for what is no product."""
    if key not in PRODUCTS or PRODUCTS[key].in_work_dir:
        return None
    return product_path(PRODUCTS[key], dict(entities_in(record.basename)), output_dir, output_dir)


def _place_of(relative: str, name: str = "") -> str:
    """Return what stands for a file of a record: its path, of a working file the name (its folder may change)."""
    folder, _, file_name = relative.rpartition("/")  # as text: thousands of participants have a hundred paths each
    name = name or file_name
    return f"{folder}/{name}" if folder.rpartition("/")[2] in _FOLDERS else f"work/{name}"
