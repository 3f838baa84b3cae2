"""The order in which jobs may start."""

from types import SimpleNamespace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_app.engine.order import Order


def job(name, after=()):
    return SimpleNamespace(name=name, after=tuple(after))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.data())
def test_every_job_starts_once_after_those_it_waits_for_and_first_come_first_served(data):
    count = data.draw(st.integers(1, 12))
    shared = tuple(f"j{n}" for n in range(data.draw(st.integers(0, 3))))
    jobs = []
    for number in range(count):
        earlier = data.draw(st.lists(st.sampled_from([f"j{n}" for n in range(number)] or ["elsewhere"]), max_size=3))
        jobs.append(SimpleNamespace(name=f"j{number}", after=shared if number > 3 else tuple(earlier)))
    names = {j.name for j in jobs}
    order, running, ended = Order(jobs), [], []
    while order or running:
        ready = list(order.ready())
        expected = [
            j for j in jobs if j not in running + ended and names.intersection(j.after) <= {e.name for e in ended}
        ]
        assert ready == expected
        assert len(order) == count - len(running) - len(ended)
        if ready and (not running or data.draw(st.booleans())):
            chosen = data.draw(st.sampled_from(ready))
            order.take(chosen)
            running.append(chosen)
        else:
            done = running.pop(data.draw(st.integers(0, len(running) - 1)))
            ended.append(done)
            order.ended(done.name)
    assert len(ended) == count


def test_what_is_taken_at_once_is_not_offered_again():
    order = Order([job("a"), job("b", ["a"]), job("c", ["a"])])
    order.take(next(order.ready()))
    assert [j.name for j in order.take_all()] == ["b", "c"]
    order.ended("a")
    assert not list(order.ready())
    assert len(order) == 0


def test_jobs_behind_the_same_ones_are_counted_once():
    before = [job(f"a{n}") for n in range(500)]
    names = tuple(j.name for j in before)
    order = Order([*before, *(job(f"b{n}", names) for n in range(500))])
    assert sum(len(gates) for gates in order._gates_of.values()) == 500
