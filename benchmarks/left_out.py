"""Constants of the default inversion chosen on one data set, scored on others: ``python -m benchmarks.left_out``.

``bayes`` measures its weights in the data, but some constants were chosen by looking at two real heads. Each is varied
here to both sides, one at a time. What is best on one data set (largest ``XSIM 5``, then least NRMSE, of single
changes; the changes that gain are joined) is scored on the others. The difference between a head's own choice and the
choice of another one is what the constants owe to having seen that head. Data as in :mod:`benchmarks.reference`, or
the name of a simulated head of :mod:`benchmarks.orientations` (at 2 mm)::

    python -m benchmarks.left_out data/invivo-cosmos/a data/invivo-cosmos/b living
"""

import sys
from contextlib import contextmanager

import numpy as np

from benchmarks import orientations
from benchmarks.common import parser
from benchmarks.reference import Data, read_data
from benchmarks.tables import table, write_table
from bids_app import qsm
from bids_app.phantom import metrics
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion import empirical_bayes, field_error, spectra

BED_MM = 2.0
HEAD = ("constants", "chosen on", "scored on", "NRMSE %", "XSIM 5")
SINGLE_HEAD = ("constant", "value", "data", "NRMSE %", "XSIM 5")
#: Parameters of the method, and constants of its modules, with a smaller and a larger value.
PARAMETERS = {
    "gaussian": (0.25, 1.0),
    "sparsity": (0.05, 0.2),
    "edge": (0.5, 2.0),
    "relief": (0.25, 1.0),
    "outside": (0.25, 1.0),
    "amplitude": (0.8, 1.0),
    "outliers": (5.0, 20.0),
}
CONSTANTS = {
    "HALF_STRUCTURED": ((spectra, empirical_bayes), (0.1, 0.4)),
    "_ALL_ERROR": ((field_error,), (0.07, 0.3)),
    "_DOUBT": ((field_error,), (0.6, 0.8)),
    "_AROUND_MM": ((field_error,), (2.0, 5.0)),
}


def simulated(name):
    """Return local field and COSMOS of a simulated head whose field no isotropic susceptibility makes."""
    strength = orientations.STRENGTHS[name]
    head = orientations.textured(orientations.head_of(BED_MM), strength.texture, seed=1)
    local, cosmos, valid, scored = orientations.measured(head, strength, seed=1)
    return Data(name, Grid(local.shape, (BED_MM,) * 3), local, cosmos, valid, scored, None)


@contextmanager
def constants(choices):
    """Give module constants other values for a while; the mean share of structured error follows."""
    before = {(m, n): getattr(m, n) for n, (modules, _) in CONSTANTS.items() if n in choices for m in modules}
    mean = spectra._MEAN_STRUCTURED
    try:
        for module, name in before:
            setattr(module, name, choices[name])
        if "HALF_STRUCTURED" in choices:
            spectra._MEAN_STRUCTURED = float(spectra.structured_share(spectra._kernel_values()).mean())
        yield
    finally:
        spectra._MEAN_STRUCTURED = mean
        for (module, name), value in before.items():
            setattr(module, name, value)


def score(data, choices):
    """Return NRMSE (%) and XSIM of 5 voxels with some constants changed."""
    method = qsm.INVERSIONS["bayes"]
    params = method.params(**{name: value for name, value in choices.items() if name in PARAMETERS})
    with constants(choices):
        chi = method(data.field, data.mask, data.grid, params=params)
    five = metrics.xsim(chi, data.reference, data.mask, width=5, uniform=True, reference=False, scored=data.scored)
    return metrics.nrmse(chi, data.reference, data.scored), five


def gain(after, before):
    """Return how much better a score is: XSIM and NRMSE (in units of the truth) count the same."""
    return (after[1] - before[1]) - (after[0] - before[0]) / 100


def single_changes(data, only):
    """Yield (name, value, score) of every change of one constant (of those in ``only``, if any)."""
    every = PARAMETERS | {name: values for name, (_, values) in CONSTANTS.items()}
    for name, values in every.items():
        if only and name not in only:
            continue
        for value in values:
            scores = score(data, {name: value})
            print(data.name, name, value, *np.round(scores, 3), sep="\t", file=sys.stderr, flush=True)
            yield name, value, scores


def chosen(single, shipped, data):
    """Return the changes that a data set asks for: each constant's best value, joined as long as they gain together."""
    gains = {}
    for name, value, scores in single:
        if gain(scores, shipped) > max(0.0005, gains.get(name, (0.0,))[0]):
            gains[name] = gain(scores, shipped), value
    kept, best = {}, shipped
    for name, (_, value) in sorted(gains.items(), key=lambda item: -item[1][0]):
        scores = score(data, kept | {name: value})
        if gain(scores, best) > 0.0005:
            kept, best = kept | {name: value}, scores
    return kept


def main(argv=None):
    options = parser(__doc__)
    options.set_defaults(readme=None)
    text = f"what the images of a data set share, or a simulated head: {', '.join(orientations.STRENGTHS)}"
    options.add_argument("data", nargs="+", metavar="PREFIX", help=text)
    args = options.parse_args(argv)
    every = [simulated(name) if name in orientations.STRENGTHS else read_data(name) for name in args.data]
    shipped = [score(data, {}) for data in every]
    rows, singles = [], []
    for data, scores in zip(every, shipped, strict=True):
        rows.append(("as shipped", "", data.name, *_texts(scores)))
    for place, data in enumerate(every):
        single = list(single_changes(data, args.only))
        singles += [(name, f"{value:g}", data.name, *_texts(scores)) for name, value, scores in single]
        kept = chosen(single, shipped[place], data)
        text = ", ".join(f"{name} {value:g}" for name, value in kept.items()) or "as shipped"
        rows += [(text, data.name, other.name, *_texts(score(other, kept))) for other in every]
    print(table(HEAD, rows) + "\n\n" + table(SINGLE_HEAD, singles))
    if args.readme is not None:
        write_table(args.readme, "left-out", "Measured with this version's defaults.", HEAD, rows, 3)


def _texts(scores):
    return f"{scores[0]:.1f}", f"{scores[1]:.3f}"


if __name__ == "__main__":
    main()
