"""Which error of the local field lowers a nucleus: ``python -m benchmarks.field_errors``.

The default inversion of a simulated head, given the field that the true susceptibility makes on the data's grid, and
the same with parts of the error that the field of the chain has: near a nucleus or far from it, near the surface of
the mask or deeper. The error raises the weight of the priors too, as the inversion measures one spectrum of errors for
the whole head. Two rows tell both effects of the error from each other: the field of the chain with the spectra
measured on the field without error, and the reverse.

Columns: NRMSE (%), and the error of the mean of each nucleus by its true label (%).
"""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from scipy import ndimage

from benchmarks import heads
from benchmarks.common import machine, parser
from benchmarks.repeatability import side_free
from benchmarks.tables import table, write_table
from bids_app import qsm
from bids_app.phantom import metrics
from bids_app.phantom.atlas import nucleus_labels
from bids_app.phantom.shapes import NUCLEI
from bids_app.qsm.field.reliability import reliability_weights
from bids_app.qsm.inversion import empirical_bayes
from bids_app.qsm.operators.dipole import forward_field

HEAD = ("input", "NRMSE %", *(f"{name} %" for name in NUCLEI))
NEAR_MM, SHALLOW_MM = 20.0, 6.0
REGION = "dentate nucleus"


@contextmanager
def spectra_of(record, scale, given=None):
    """Note the spectra that the inversion measures, or give it others (spectra, and the SD of their field)."""
    measure, rest = empirical_bayes.estimate_spectra, list(given[0]) if given else []

    def estimate(*args):
        spectra = measure(*args)
        if rest:
            other, power = rest.pop(0), np.square(given[1] / scale)
            spectra = replace(other, noise=power * other.noise, signal=power * other.signal, white=power * other.white)
        record.append(spectra)
        return spectra

    empirical_bayes.estimate_spectra = estimate
    try:
        yield
    finally:
        empirical_bayes.estimate_spectra = measure


class Problem:
    """A simulated head, the field of its chain, and the field that its susceptibility makes on the data's grid."""

    def __init__(self, voxel_size, in_vivo):
        extra = {"in_vivo": True, "coil_shading": 0.5, "snr": 40.0} if in_vivo else {}
        self.scan = heads.simulated(voxel_size=(voxel_size,) * 3, **extra)
        start = heads.before(self.scan)
        self.chi, self.valid, self.field = heads.invert(start, qsm.BackgroundChoices())
        self.inside = self.valid & self.scan.mask
        self.weights = reliability_weights(start.field.sd, self.valid)
        relative = self.scan.chi - self.scan.chi[self.scan.mask].mean()
        chi = np.where(self.scan.mask, relative, 0).astype(np.float32)
        self.true_field = forward_field(chi, self.scan.grid) * self.valid
        self.error = (self.field - self.true_field) * self.valid

    def invert(self, field, given=None, **choices):
        """Return the map, and the spectra that it was made with and the SD of the field that they belong to."""
        method, record = qsm.INVERSIONS["bayes"], []
        field = (field * self.valid).astype(np.float32)
        scale = float(np.std(field[self.valid], dtype=np.float64))
        with spectra_of(record, scale, given):
            params = method.params(**choices)
            chi = method(field, self.valid, self.scan.grid, params=params, weights=self.weights)
        return chi, (record, scale)

    def row(self, name, chi):
        """Return the row of a map."""
        errors = {}
        regions = metrics.regions(chi, self.scan.chi, self.inside, self.scan.labels, self.scan.names)
        for region in regions:
            errors.setdefault(side_free(region.name), []).append((region.true, region.estimate))
        means = {region: np.mean(pairs, axis=0) for region, pairs in errors.items()}
        texts = (f"{100 * (means[n][1] / means[n][0] - 1):+.1f}" if n in means else "" for n in NUCLEI)
        return name, f"{metrics.nrmse(chi, self.scan.chi, self.inside):.1f}", *texts


def rows_of(problem):
    """Yield the rows of one head."""
    true, error = problem.true_field, problem.error
    numbers = [number for number, name in nucleus_labels().items() if name.endswith(REGION)]
    sampling = problem.scan.grid.voxel_size
    near = ndimage.distance_transform_edt(~np.isin(problem.scan.labels, numbers), sampling=sampling) < NEAR_MM
    shallow = ndimage.distance_transform_edt(problem.valid, sampling=sampling) <= SHALLOW_MM
    clean, of_clean = problem.invert(true)
    dirty, of_dirty = problem.invert(problem.field)
    yield problem.row("field without error", clean)
    yield problem.row(f"with the error within {NEAR_MM:g} mm of the {REGION}", problem.invert(true + error * near)[0])
    yield problem.row("with the error elsewhere", problem.invert(true + error * ~near)[0])
    yield problem.row(
        f"with the error within {SHALLOW_MM:g} mm of the surface", problem.invert(true + error * shallow)[0]
    )
    yield problem.row("with the error that is deeper", problem.invert(true + error * ~shallow)[0])
    yield problem.row("field of the chain", dirty)
    yield problem.row("the same, spectra of the field without error", problem.invert(problem.field, of_clean)[0])
    yield problem.row("field without error, spectra of the chain's", problem.invert(true, of_dirty)[0])
    yield problem.row("field of the chain, no detail by TGV", problem.invert(problem.field, detail=0)[0])
    yield problem.row("field of the chain, outside 1", problem.invert(problem.field, outside=1.0)[0])
    yield problem.row("whole chain, without null-space trend", problem.chi)
    power = np.square(error[problem.valid], dtype=np.float64)
    share = power[shallow[problem.valid]].sum() / power.sum()
    print(f"error within {SHALLOW_MM:g} mm of the surface: {100 * share:.0f} % of its power, ", end="")
    print(f"{100 * shallow[problem.valid].mean():.0f} % of the voxels")


def main(argv=None):
    options = parser(__doc__)
    options.set_defaults(readme=None)
    options.add_argument("--voxel-size", type=float, default=2.0, help="mm")
    options.add_argument("--in-vivo", action="store_true", help="tissue around the brain as in life, uneven coils")
    args = options.parse_args(argv)
    rows = list(rows_of(Problem(4.0 if args.quick else args.voxel_size, args.in_vivo)))
    print(table(HEAD, rows))
    if args.readme is not None:
        write_table(args.readme, "field-errors", machine(), HEAD, rows, 1)


if __name__ == "__main__":
    main()
