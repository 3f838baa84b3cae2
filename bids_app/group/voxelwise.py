"""A linear model of every voxel by nilearn's second-level machinery, slab by slab.

Ordinary least squares and contrasts are those of nilearn's ``SecondLevelModel`` (``run_glm``, ``compute_contrast``),
permutations those of ``permuted_ols`` (Freedman & Lane 1983, 10.2307/1391660; largest statistic: Nichols & Holmes 2002,
10.1002/hbm.1058). Both hold all images in memory when given images; here they are given slabs of voxels, all
participants of one slab at a time. Permutations depend on the seed and the number of participants alone: the largest
statistic of each is the largest over all slabs.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_app.errors import QsmAppError, UsageError
from bids_app.group import statistics
from bids_app.group.formulas import parse_formula
from bids_app.group.values import Stored

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Row = dict[str, object]

RESPONSES = ("chi", "r2star", "chi_paramagnetic", "chi_diamagnetic")
#: Values that one slab may hold: nilearn makes about ten float64 copies of it.
_SLAB_VALUES = 1 << 21
#: Residuals below this part of their median over voxels are none.
_TINY = 1e-3


def terms_of(formula: str) -> tuple[str, dict[str, str]]:
    """Return a model's response, and its terms by their name in letters and digits, from the formula alone.

    Raises
    ------
    UsageError
        If it cannot be read, the response is no map, or nothing is to be tested.
    """
    from patsy import ModelDesc, PatsyError

    parse_formula(formula)
    try:
        design = ModelDesc.from_formula(formula)
    except (PatsyError, SyntaxError) as error:
        raise UsageError(f'the model "{formula}" cannot be read: {str(error).splitlines()[0]}') from error
    response = " + ".join(term.name() for term in design.lhs_termlist)
    if response not in RESPONSES:
        raise UsageError(
            f'the model "{formula}" cannot be fitted to voxels: its response is {response or "missing"}; it must be '
            f"{' or '.join(RESPONSES)}"
        )
    labels: dict[str, str] = {}
    for term in design.rhs_termlist:
        if not term.factors:
            continue
        plain = re.sub(r"[^A-Za-z0-9]", "", term.name().replace(":", "X")) or "term"
        label = plain if plain not in labels else f"{plain}{len(labels)}"
        labels[label] = term.name()
    if not labels:
        raise UsageError(f'the model "{formula}" has no term that voxels could be tested for')
    return response, labels


@dataclass(frozen=True)
class Design:
    """The matrix of a model, a row for every participant."""

    people: tuple[str, ...]
    names: tuple[str, ...]  # columns
    matrix: Float64
    left_out: tuple[str, ...] = ()

    @property
    def df(self) -> int:
        """Degrees of freedom of the residuals."""
        return int(self.matrix.shape[0] - self.matrix.shape[1])

    def columns_of(self, term: str) -> list[int]:
        """Return the columns that a term of the formula has."""
        plain = [re.sub(r"\[[^\]]*\]", "", name) for name in self.names]
        return [number for number, name in enumerate(plain) if name == term]


def design(
    formula: str, covariates: Mapping[str, Mapping[str, object]], min_participants: int = 0, min_df: int = 1
) -> Design:
    """Return the design of a formula; ``covariates`` are the columns of every participant.

    Raises
    ------
    QsmAppError
        If it cannot be fitted: a column is missing or constant, or there are too few participants.
    """
    import pandas as pd

    response, _ = terms_of(formula)
    people = list(covariates)
    data = pd.DataFrame([dict(covariates[p]) for p in people], index=people)
    data = data.apply(lambda column: _numbers(column)).assign(**{response: np.arange(len(people), dtype=float)})
    try:
        model = statistics.design_of(data, formula)
        names, matrix = tuple(model.exog_names), np.asarray(model.exog, float)
        rank = int(np.linalg.matrix_rank(matrix))
        if rank < matrix.shape[1]:
            raise QsmAppError(f"its {statistics.culprit(list(names), matrix)}")
        if len(matrix) <= rank:
            raise QsmAppError(f"{len(matrix)} participants are too few for {rank} coefficients")
        if len(matrix) < (least := max(min_participants, rank + min_df)):
            text = f"{len(matrix)} participants have all values, and {least} are needed for {rank} coefficients"
            raise QsmAppError(text)
    except QsmAppError as error:
        raise QsmAppError(f'the model "{formula}" cannot be fitted to voxels: {error}') from error
    used = [str(label) for label in model.data.row_labels]
    return Design(tuple(used), names, matrix, tuple(p for p in people if p not in used))


def _numbers(column: Any) -> Any:
    import pandas as pd

    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column


def average_covariates(rows: Sequence[Mapping[str, object]]) -> Row:
    """Return the covariates of a participant from those of its sessions: means of numbers, words if all agree."""
    averages: Row = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        known = [row[name] for row in rows if row.get(name) is not None]
        try:
            averages[name] = float(np.mean([float(str(value)) for value in known])) if known else None
        except (TypeError, ValueError):
            averages[name] = known[0] if len(set(known)) == 1 else None
    return averages


@dataclass
class Maps:
    """What is found of one coefficient, a value for every voxel that is tested."""

    effect: Float32
    t: Float32
    z: Float32
    logp: Float32
    logpfwe: Float32 | None = None
    #: Largest size of t of each permutation.
    largest: Float64 = field(default_factory=lambda: np.zeros(0))


def fit(
    values: Stored,
    model: Design,
    tested: Sequence[int],
    permutations: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    slab_values: int = _SLAB_VALUES,
    without: npt.NDArray[np.bool_] | None = None,
) -> dict[int, Maps]:
    """Fit the model to every voxel and return the maps of each tested column.

    Parameters
    ----------
    values : Stored
        All participants of the design, in its order; no value may be missing.
    model : Design
    tested : sequence of int
        Columns of the design.
    permutations, seed : int
        Number of permutations for the family-wise error rate (0: none), and where they start.
    without : ndarray of bool, [voxel]
        Voxels without a statistic, see :func:`exact`.
    """
    from nilearn.glm import compute_contrast
    from nilearn.glm.first_level import run_glm
    from scipy import stats

    def zeros() -> Float32:
        return np.zeros(values.voxels, np.float32)

    made = {k: Maps(zeros(), zeros(), zeros(), zeros()) for k in tested}
    for maps in made.values():
        maps.largest = np.zeros(permutations)
    for part, slab in values.slabs(slab_values):
        y = slab.astype(np.float64)
        flat = np.ptp(y, axis=0) == 0  # the same value in everybody has no variance, and no statistic
        flat = flat if without is None else flat | without[part]
        y[:, flat] = 0
        y[0, flat] = np.finfo(np.float64).tiny
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels, results = run_glm(y, model.matrix, noise_model="ols")
            for k, maps in made.items():
                contrast = np.zeros(model.matrix.shape[1])
                contrast[k] = 1
                contrasted = compute_contrast(labels, results, contrast, stat_type="t")
                maps.effect[part] = np.where(flat, 0, contrasted.effect_size())
                t = np.where(flat, 0, np.nan_to_num(np.ravel(contrasted.stat())))
                maps.t[part], maps.z[part] = t, np.where(flat, 0, contrasted.z_score())
                maps.logp[part] = -(np.log(2) + stats.t.logsf(np.abs(t), model.df)) / np.log(10)
                if permutations and not flat.all():
                    largest = _permuted(y[:, ~flat], model, k, permutations, seed)
                    maps.largest = np.maximum(maps.largest, largest)
        if progress is not None:
            progress(part.stop, values.voxels)
    for maps in made.values():
        if permutations:
            maps.logpfwe = -np.log10(family_wise(maps.t, maps.largest)).astype(np.float32)
    return made


def exact(values: Stored, model: Design, slab_values: int = _SLAB_VALUES) -> npt.NDArray[np.bool_]:
    """Return the voxels whose residuals are next to nothing, of those that vary at all: any t could come of them.

    Next to nothing is a part of 1e-3 of the median over voxels, or ``statistics.EXACT`` of the voxel's own spread.
    """
    spread, residual = np.zeros(values.voxels), np.zeros(values.voxels)
    basis = np.linalg.qr(model.matrix)[0]
    for part, slab in values.slabs(slab_values):
        y = slab.astype(np.float64)
        spread[part] = np.linalg.norm(y - y.mean(axis=0), axis=0)
        residual[part] = np.linalg.norm(y - basis @ (basis.T @ y), axis=0)
    varies = spread > 0
    middle = float(np.median(residual[varies])) if varies.any() else 0.0
    return varies & ((residual < _TINY * middle) | (residual < statistics.EXACT * spread))


def _permuted(y: Float64, model: Design, column: int, permutations: int, seed: int) -> Float64:
    """Return the largest size of t of each permutation."""
    from nilearn.mass_univariate import permuted_ols

    others = [k for k in range(model.matrix.shape[1]) if k != column]
    constant = [k for k in others if np.ptp(model.matrix[:, k]) == 0]
    rest = np.ascontiguousarray(model.matrix[:, [k for k in others if k not in constant]])
    # nilearn adds the intercept: one that it finds among the covariates makes it swap signs instead of permuting.
    tested = permuted_ols(
        np.ascontiguousarray(model.matrix[:, [column]]),
        y,
        confounding_vars=rest if rest.size else None,
        model_intercept=bool(constant),
        n_perm=permutations,
        two_sided_test=True,
        random_state=seed,
        n_jobs=1,
        output_type="dict",
    )
    return np.ravel(tested["h0_max_t"])


def family_wise(t: npt.NDArray[np.generic], largest: Float64) -> Float64:
    """Return the family-wise error rate of each t from the largest of each permutation."""
    ordered = np.sort(largest)
    beyond = len(ordered) - np.searchsorted(ordered, np.abs(t.astype(np.float64)), side="left")
    return (1 + beyond) / (1 + len(ordered))


def thresholds(maps: Maps, df: int, fdr: float, fwe: float) -> tuple[float | None, float | None]:
    """Return the size of t from which on voxels are significant: by false discovery rate, by family-wise error rate."""
    from nilearn.glm import fdr_threshold
    from scipy import stats

    size = np.abs(maps.t)
    cut = float(fdr_threshold(np.abs(maps.z.astype(np.float64)), fdr / 2))  # both tails
    beyond = size[np.abs(maps.z) >= cut]
    by_fdr = float(beyond.min()) if beyond.size else None
    if not len(maps.largest):
        return by_fdr, float(stats.t.isf(fwe / 2 / max(size.size, 1), df))
    allowed = int(np.floor(fwe * (1 + len(maps.largest)) + 1e-9)) - 1
    if allowed < 0:
        return by_fdr, None
    return by_fdr, float(np.nextafter(np.sort(maps.largest)[::-1][allowed], np.inf))


def cut_at(t: Float32, threshold: float | None) -> Float32:
    """Return t where it is as large as a threshold, else 0."""
    return np.zeros_like(t) if threshold is None else np.where(np.abs(t) >= threshold, t, 0).astype(np.float32)
