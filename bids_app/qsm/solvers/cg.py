"""Conjugate gradients: one iteration for every method that uses them.

The iteration only decides the lengths of the steps. What it works on is a :class:`System`, which keeps the vectors and
does the arithmetic: with numpy (:class:`SymmetricSystem`, :class:`LeastSquaresSystem`), or with fused kernels where a
method's time is spent there.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.device import copy_of, namespace
from bids_app.qsm.operators.vectors import dot
from bids_app.qsm.signatures import Progress

Operator = Callable[[FloatArray], FloatArray]


class System(Protocol):
    """Equations A x = b with their vectors: solution, (preconditioned) residual and search direction."""

    def turn(self, factor: np.float32) -> None:
        """Set direction = residual + factor direction, with the preconditioned residual where there is one."""

    def curvature(self) -> float:
        """Compute A direction, keep it, and return <direction, A direction>."""

    def advance(self, step: np.float32, last: bool) -> float:
        """Add step direction to the solution, update the residual and return its new squared norm.

        A ``last`` step needs no residual; what is returned then does not count.
        """


def conjugate_gradients(
    system: System, norm: float, limit: float, iterations: int, progress: Progress | None = None
) -> int:
    """Iterate a system until the squared norm of its residual is at most ``limit``.

    Parameters
    ----------
    system : System
        Equations with a positive semi-definite operator, changed in place.
    norm : float
        Squared norm of the residual at the start.
    limit : float
        Squared norm that ends the iteration.
    iterations : int
        Most iterations.
    progress : callable, optional
        Called as ``progress(done, iterations)`` after each iteration.

    Returns
    -------
    int
        Iterations done.

    References
    ----------
    Hestenes & Stiefel 1952, 10.6028/jres.049.044.
    """
    factor = np.float32(0)
    for iteration in range(1, iterations + 1):
        if norm <= limit:
            return iteration - 1
        system.turn(factor)
        step = np.float32(norm / max(system.curvature(), 1e-30))
        norm, before = system.advance(step, iteration == iterations), norm
        factor = np.float32(norm / before)
        if progress is not None:
            progress(iteration, iterations)
    return iterations


class SymmetricSystem:
    """A x = b with a symmetric positive semi-definite operator, from x = 0."""

    def __init__(self, operator: Operator, right: FloatArray) -> None:
        xp = namespace(right)
        self.solution, self.residual = xp.zeros_like(right), copy_of(right)
        self.norm = dot(right, right)
        self._operator = operator
        self._direction, self._image = xp.zeros_like(right), right

    def turn(self, factor: np.float32) -> None:
        """Set direction = residual + factor direction."""
        self._direction *= float(factor)
        self._direction += self.residual

    def curvature(self) -> float:
        """Apply the operator to the direction and return their product."""
        self._image = self._operator(self._direction)
        return dot(self._direction, self._image)

    def advance(self, step: np.float32, last: bool) -> float:
        """Take the step and return the residual's squared norm."""
        self.solution += float(step) * self._direction
        self._image *= float(step)
        self.residual -= self._image
        return dot(self.residual, self.residual)


class LeastSquaresSystem:
    """The normal equations of ||forward(x) - data||^2, from x = 0; the iterates are those of LSQR in exact arithmetic.

    ``norm`` is the squared norm of the gradient, adjoint(data - forward(x)), at the start.
    """

    def __init__(self, forward: Operator, adjoint: Operator, data: FloatArray) -> None:
        self._forward, self._adjoint = forward, adjoint
        self.residual = data.copy()
        self.gradient = adjoint(self.residual)
        self.solution = np.zeros_like(self.gradient)
        self.norm = float(np.vdot(self.gradient, self.gradient))
        self._direction, self._image = np.zeros_like(self.gradient), data

    def turn(self, factor: np.float32) -> None:
        """Set direction = gradient + factor direction."""
        self._direction *= factor
        self._direction += self.gradient

    def curvature(self) -> float:
        """Apply the forward operator to the direction and return the squared norm of the image."""
        self._image = self._forward(self._direction)
        return float(np.vdot(self._image, self._image))

    def advance(self, step: np.float32, last: bool) -> float:
        """Take the step and return the gradient's squared norm."""
        self.solution += step * self._direction
        self.residual -= step * self._image
        if last:
            return self.norm
        self.gradient = self._adjoint(self.residual)
        return float(np.vdot(self.gradient, self.gradient))


def solve_symmetric(
    operator: Operator, right: FloatArray, iterations: int, tolerance: float, progress: Progress | None = None
) -> FloatArray:
    """Solve operator(x) = right from zero until the residual has fallen to ``tolerance`` of the right side.

    Parameters
    ----------
    operator : callable
        Symmetric positive semi-definite map from volumes to new volumes.
    right : float32 array
        Right side.
    iterations : int
        Most iterations.
    tolerance : float
        Norm of the residual over that of the right side.
    progress : callable, optional
        Called as ``progress(done, iterations)`` after each iteration.

    Returns
    -------
    float32 array, shape of ``right``.

    Examples
    --------
    >>> right = np.array([2, 6], np.float32)
    >>> solve_symmetric(lambda x: np.array([2, 3], np.float32) * x, right, 10, 1e-6).round(4).tolist()
    [1.0, 2.0]
    """
    system = SymmetricSystem(operator, right)
    conjugate_gradients(system, system.norm, system.norm * tolerance**2, iterations, progress)
    return system.solution


def solve_least_squares(
    forward: Operator,
    adjoint: Operator,
    data: FloatArray,
    iterations: int,
    tolerance: float,
    progress: Progress | None = None,
) -> FloatArray:
    """Minimise ||forward(x) - data||^2 from zero until the gradient has fallen to ``tolerance`` of its first value.

    Parameters
    ----------
    forward, adjoint : callable
        Linear map to new arrays, and its adjoint.
    data : float32 array
        Data.
    iterations : int
        Most iterations; few of them leave out what the map hardly sees.
    tolerance : float
        Norm of the gradient over that for x = 0.
    progress : callable, optional
        Called as ``progress(done, iterations)`` after each iteration.

    Returns
    -------
    float32 array
        Solution, of the shape that ``adjoint`` returns.

    References
    ----------
    Paige & Saunders 1982, 10.1145/355984.355989.

    Examples
    --------
    >>> data = np.array([2, 4, 6], np.float32)
    >>> solve_least_squares(lambda x: np.repeat(x, 3), lambda r: r.sum(keepdims=True), data, 10, 1e-6).tolist()
    [4.0]
    """
    system = LeastSquaresSystem(forward, adjoint, data)
    conjugate_gradients(system, system.norm, system.norm * tolerance**2, iterations, progress)
    return system.solution
