"""From coarse grids to fine ones: each grid's solution starts the next."""

from collections.abc import Callable
from typing import TypeVar

P = TypeVar("P")
S = TypeVar("S")


def coarse_to_fine(
    problem: P,
    coarsen: Callable[[P], P | None],
    refine: Callable[[S, P, P], S],
    solve: Callable[[P, S | None, int], S],
    levels: int | None = None,
) -> tuple[S, int]:
    """Solve a problem on coarse grids first (cascadic multigrid).

    Parameters
    ----------
    problem : P
        Problem on the finest grid.
    coarsen : callable
        Returns a problem on the next coarser grid, or None where there is none.
    refine : callable
        Called as ``refine(solution, coarse, fine)``; returns the solution on the fine problem's grid.
    solve : callable
        Called as ``solve(problem, start, level)`` with ``start`` None on the coarsest grid and ``level`` 0 on the
        finest; returns the solution.
    levels : int, optional
        Most grids; as many as ``coarsen`` gives without it.

    Returns
    -------
    solution : S
        Solution on the finest grid.
    levels : int
        Grids used.

    References
    ----------
    Bornemann & Deuflhard 1996, 10.1007/s002110050234.

    Examples
    --------
    Halve a number while it is even, and count the way back:

    >>> coarse_to_fine(12, lambda n: None if n % 2 else n // 2, lambda s, *_: s, lambda n, s, _: [*(s or []), n])
    ([3, 6, 12], 3)
    """
    problems = [problem]
    while (levels is None or len(problems) < levels) and (coarse := coarsen(problems[-1])) is not None:
        problems.append(coarse)
    last = len(problems) - 1
    solution = solve(problems[last], None, last)
    for level in range(last - 1, -1, -1):
        start = refine(solution, problems[level + 1], problems[level])
        solution = solve(problems[level], start, level)
    return solution, len(problems)
