"""Empirical-Bayes inversion: error and signal spectra are measured in the data, nothing is tuned by hand."""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.empirical_bayes import BayesParams, Estimate
from bids_app.qsm.inversion.fine_detail import with_fine_detail
from bids_app.qsm.inversion.problem import counted, note, prepare
from bids_app.qsm.kernels.spectrum import change_of
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.split_gradient import SplitGradient


def bayes(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: BayesParams = BayesParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate the most probable susceptibility under priors and errors whose spectra come from the data.

    Minimises 1/2 sum |F - D X|^2 / N + ``gaussian`` / 2 sum |X|^2 / P + ``sparsity`` / b ||grad chi||_1 over
    k-space, where F and X are the transforms of field and susceptibility. The spectra N of the error and P of the
    signal and the gradient's scale b are measured in the data. The method is this software's own.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : BayesParams
        Shares of the measured spectra, iterations, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the field, about 1; below one half the field is replaced in part.
    magnitude : float32, ``grid.shape``, optional
        Not used.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives the error's SD in ppm, the gradient's SD in ppm/mm and the number of iterations.

    Returns
    -------
    float32, ``grid.shape``
        Susceptibility in ppm, zero outside the mask; its level is arbitrary.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    Notes
    -----
    The steps:

    1. The field's power inside the magic-angle cone is error, and outside it error and signal; this gives both
       spectra per shell of |k| (:mod:`bids_app.qsm.inversion.spectra`). The linear (Wiener) estimate starts.
    2. Outside the mask, and where ``weights`` (relative reliability, about 1) are below one half, the
       field is replaced, the more the less certain it is, by that of the present map; so it is where both are more than
       ``outliers`` robust SDs from each other: no map explains that (dephasing, flow, wrong unwrapping). Where such
       outliers hold more than 15 % of the residual's power, the linear estimate is made again without them first. The
       spectra are measured again, now with little leakage through the mask's edge. From the second iteration on, the
       certainty of a voxel also falls with the residual around it
       (:func:`bids_app.qsm.inversion.field_error.local_certainty`): at the surface and near sinuses the field has
       several times its typical error. The replacement counts by the share of the field that a map explains. The
       sources of a local field are in the mask, so that the map outside counts by ``outside`` only: 0 is best for a
       local field that is free of other errors. A background method that takes the local field at the surface for
       background (LBV without corrections) leaves the field of sources outside, and 1 is better.
    3. The map minimises sum |F - D X|^2 / N + ``gaussian`` sum |X|^2 / P, both halved, + ``sparsity`` / b
       ||grad chi||_1 with b the measured scale of the gradient, by ADMM in k-space; then again from step 2. N depends
       on |k| and on the angle to B0: its structured part is strongest in the cone.
       Differences that exceed ``edge`` times the gradient's SD in the present map are edges and not penalised, so
       that nuclei and veins keep their contrast. Both weights fall with the share of the field that a map explains
       (:attr:`bids_app.qsm.inversion.spectra.Spectra.explained`, measured in the first iteration), with its 2nd and 3rd
       power for ``relief`` 1: anisotropy, microstructure and remnants of the background are error in the cone, and
       full priors would take half of the nuclei's susceptibility in a field that is full of them. What the nuclei
       keep, the error keeps too: against COSMOS of simulated heads the map is nearer, against an isotropic truth up to
       a tenth farther. White noise does not count.
       Steps 2 and 3 are repeated as long as they lower the residual, weighted by the certainty of the voxels, at most
       ``outer_iterations`` times. An iteration that raises it is undone: what is filled in then holds more of the error
       than it adds of the signal. Fields of isotropic susceptibility take all four iterations, those of living brains
       two.
    4. The priors pull the map towards zero. The factor by which its field explains the measured one best (least
       squares over certain voxels) restores this at the end: to the share ``amplitude``
       where the field is free of error, and the less the more error it has.
    5. Before that end, fine detail and what lies in the cone are improved by ``detail`` iterations of total
       generalised variation that start at the map (:mod:`bids_app.qsm.inversion.fine_detail`).

    Every weight follows the scale, resolution and error of the data, so that the parameters need no change from one
    data set to another.

    References
    ----------
    The parts: cone as a measure of error, Milovic et al. 2021, 10.1002/mrm.28435; total variation by ADMM, Bilgic
    et al. 2014, 10.1002/mrm.25029; total generalised variation, Langkammer et al. 2015,
    10.1016/j.neuroimage.2015.02.041; empirical Bayes, Robbins 1956; Wiener 1949.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = bayes(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.03)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    if not problem.field.any():
        return problem.finish(problem.field)
    inside = problem.crop.take(problem.mask, np.bool_)
    estimate = Estimate(problem.grid, problem.field, problem.weight, inside)
    split, total, done = SplitGradient(problem.grid), params.outer_iterations * params.iterations, [0]
    report = counted(progress, info)

    def advance() -> None:
        done[0] += 1
        report(done[0], total)

    spectra = estimate.start()
    for outer in range(params.outer_iterations):
        before = estimate.chi
        misfit = estimate.fill(params.outside, params.outliers)
        spectra = estimate.refine(split, params, advance)
        if outer and estimate.misfit(params.outside) > misfit:
            estimate.undo(before)
            break
        change, size = change_of(estimate.chi, before)
        if change <= params.tolerance**2 * size:
            break
    del split, before  # five volumes, before TGV needs more
    if params.detail:
        estimate.chi = with_fine_detail(
            estimate.chi,
            estimate.filled,
            inside,
            problem.grid,
            estimate.kernel,
            problem.weight,
            params.detail,
            estimate.noise_sd,
        )
    if params.amplitude:
        estimate.scale(estimate.forward(params.outside), params.amplitude)
    note(info, noise_ppm=spectra.noise_sd * problem.scale, gradient_ppm_per_mm=spectra.gradient_sd * problem.scale)
    return problem.finish(estimate.chi)


BAYES: Inversion[BayesParams] = Method(
    name="bayes",
    kind="inversion",
    label="Empirical Bayes",
    function=bayes,
    params=BayesParams,
    sentence=(
        "Susceptibility was estimated by an empirical Bayes inversion with Gaussian and total-"
        "variation priors{parameters}. The weights of the priors were estimated from the spectrum of "
        "the data; the inversion builds on published methods [bilgic2014; milovic2021]. Part of the "
        "contrast that the priors remove was restored (parameter “amplitude”), and fine detail was "
        "refined by iterations of total generalised variation [langkammer2015]."
    ),
    maturity="this software's own",
    uses=frozenset({"weights"}),
    on_device=True,
)
