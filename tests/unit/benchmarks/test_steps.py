"""The table of steps says what each waits for, from measurements."""

import pytest

from benchmarks import steps


def measured(seconds, user, system, moved=0.0, peak=5e8):
    return {"seconds": seconds, "user": user, "system": system, "moved_bytes": moved, "peak_bytes": peak}


def test_rows_are_the_steps_in_order_of_time_and_their_sum():
    first = {"phase": measured(1.0, 0.6, 0.4), "inversion": measured(4.0, 3.9, 0.1, 2e10, 1e9)}
    second = {"phase": measured(0.9, 0.6, 0.4), "inversion": measured(2.0, 3.9, 0.1, 2e10, 1e9)}
    inversion, phase, every = steps.rows("default", [1, 2], [first, second], 2e10, True)
    assert inversion[1:10] == ("inversion", "4.00", "2.00", "100%", "4.00", "2%", "1.00", "50%", "memory bandwidth")
    assert phase[1:10] == ("phase", "1.00", "0.90", "56%", "1.00", "40%", "0.50", "", "new pages of memory")
    assert every[1:8] == ("all", "5.00", "2.90", "86%", "5.00", "10%", "1.00")
    busy = next(steps.rows("default", [1, 2], [first, second], 2e10, False))
    assert busy[1:10] == ("inversion", "", "", "", "4.00", "2%", "1.00", "", "")


@pytest.mark.parametrize(
    ("system", "efficiency", "share", "says"),
    [
        (0.5, 0.9, 0.9, "new pages of memory"),
        (0.1, 0.5, 0.9, "one thread"),
        (0.1, None, 0.9, "memory bandwidth"),
        (0.1, 0.9, 0.1, "arithmetic and cache"),
    ],
)
def test_what_bounds_a_step(system, efficiency, share, says):
    assert steps.bound(measured(1.0, 1 - system, system), efficiency, share) == says
