"""Constants of the default inversion chosen without one data set, scored on it: ``python -m benchmarks.left_out``.

``bayes`` measures its weights in the data, but some constants were chosen by looking at data where the answer is known.
Each constant is varied here to both sides, one at a time. For each data set, the changes that gain most on all the
others together (XSIM 5 and NRMSE count the same; changes that gain together are joined) are scored on the one that was
left out. A choice that carries over gains there too. A choice that gains for the others alone belongs to them.

Data as in :mod:`benchmarks.reference`, the name of a simulated head of :mod:`benchmarks.orientations` (at 2 mm), or
``phantom`` and ``in-vivo`` (the whole chain of ``default`` up to the local field, at 2.5 mm)::

    python -m benchmarks.left_out data/invivo-cosmos/a data/invivo-cosmos/b living medium phantom in-vivo
"""

import sys
from contextlib import contextmanager

import numpy as np

from benchmarks import heads, orientations
from benchmarks.common import parser
from benchmarks.reference import Data, read_data
from benchmarks.tables import table, write_table
from bids_app import qsm
from bids_app.phantom import metrics
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion import empirical_bayes, field_error, spectra

BED_MM, CHAIN_MM = 2.0, 2.5
HEAD = ("left out", "chosen on the others", "NRMSE %", "XSIM 5", "shipped, NRMSE %", "shipped, XSIM 5")
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
    "_PRIOR_TRUST": ((field_error,), (0.6, 0.8)),
    "_AROUND_MM": ((field_error,), (2.0, 5.0)),
}
#: Simulated scans that go through the whole chain.
CHAINS = {"phantom": {}, "in-vivo": {"in_vivo": True, "coil_shading": 0.5, "snr": 40.0}}
#: Gain from which on a change counts: half a thousandth of XSIM.
_LEAST_GAIN = 0.0005


def simulated(name):
    """Return local field and COSMOS of a simulated head whose field no isotropic susceptibility makes."""
    strength = orientations.STRENGTHS[name]
    head = orientations.textured(orientations.head_of(BED_MM), strength.texture, seed=1)
    local, cosmos, valid, scored = orientations.measured(head, strength, seed=1)
    return Data(name, Grid(local.shape, (BED_MM,) * 3), local, cosmos, valid, scored, None)


def through_the_chain(name):
    """Return the local field that the chain of ``default`` gives for a simulated scan, and the true susceptibility."""
    scan = heads.simulated(voxel_size=(CHAIN_MM,) * 3, **CHAINS[name])
    _, valid, local = heads.invert(heads.before(scan), qsm.BackgroundChoices())
    scored = valid & scan.mask
    return Data(name, scan.grid, local * valid, np.where(scored, scan.chi, np.float32(0)), valid, scored, None)


def data_of(name):
    """Return the data of one argument of the command."""
    if name in CHAINS:
        return through_the_chain(name)
    return simulated(name) if name in orientations.STRENGTHS else read_data(name)


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


class Scores:
    """The scores of several data sets, each computed once."""

    def __init__(self, every, score=score):
        self.every, self._score, self._known = every, score, {}

    def of(self, place, choices):
        """Return NRMSE and XSIM of a data set with some constants changed."""
        key = place, tuple(sorted(choices.items()))
        if key not in self._known:
            self._known[key] = self._score(self.every[place], choices)
            text = " ".join(f"{name}={value:g}" for name, value in choices.items()) or "as shipped"
            print(self.every[place].name, text, *np.round(self._known[key], 4), sep="\t", file=sys.stderr, flush=True)
        return self._known[key]

    def gain(self, places, choices):
        """Return the mean gain over data sets; XSIM and NRMSE (in units of the truth) count the same."""
        pairs = [(self.of(place, choices), self.of(place, {})) for place in places]
        return float(np.mean([(after[1] - before[1]) - (after[0] - before[0]) / 100 for after, before in pairs]))


def chosen(scores, places, every):
    """Return the changes that some data sets ask for together: each constant's best, joined while they gain."""
    best = {}
    for name, values in every.items():
        gains = [(scores.gain(places, {name: value}), value) for value in values]
        best[name] = max(gains)
    kept, reached = {}, _LEAST_GAIN
    for name, (gain, value) in sorted(best.items(), key=lambda item: -item[1][0]):
        if gain <= _LEAST_GAIN:
            break
        joined = scores.gain(places, kept | {name: value})
        if joined > reached:
            kept, reached = kept | {name: value}, joined + _LEAST_GAIN
    return kept


def main(argv=None):
    options = parser(__doc__)
    options.set_defaults(readme=None)
    simulations = ", ".join([*orientations.STRENGTHS, *CHAINS])
    text = f"what the images of a data set share, or a simulated head: {simulations}"
    options.add_argument("data", nargs="+", metavar="DATA", help=text)
    args = options.parse_args(argv)
    if len(args.data) < 2:
        raise SystemExit("One data set cannot be left out and chosen on at once. Give two or more.")
    every = PARAMETERS | {name: values for name, (_, values) in CONSTANTS.items()}
    every = {name: values for name, values in every.items() if not args.only or name in args.only}
    scores = Scores([data_of(name) for name in args.data])
    places, rows, singles = range(len(args.data)), [], []
    for place in places:
        kept = chosen(scores, [p for p in places if p != place], every)
        text = ", ".join(f"{name} {value:g}" for name, value in kept.items()) or "as shipped"
        rows.append((scores.every[place].name, text, *_texts(scores.of(place, kept)), *_texts(scores.of(place, {}))))
        for name, value in ((name, value) for name, values in every.items() for value in values):
            singles.append((name, f"{value:g}", scores.every[place].name, *_texts(scores.of(place, {name: value}))))
    print(table(HEAD, rows) + "\n\n" + table(SINGLE_HEAD, singles))
    if args.readme is not None:
        write_table(args.readme, "left-out", f"Varied: {', '.join(every)}.", HEAD, rows, 1)


def _texts(scores):
    return f"{scores[0]:.1f}", f"{scores[1]:.3f}"


if __name__ == "__main__":
    main()
