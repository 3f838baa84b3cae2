"""The time left, from steps that ended in this run and before it."""

import json

import pytest

from bids_app.derivatives.records import load_records
from bids_app.engine.events import Event
from bids_app.engine.job import Job
from bids_app.engine.remaining_time import Remaining, earlier_durations, in_words


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def jobs(count):
    return [Job(name=f"sub-{n:02d}", subject=f"{n:02d}", settings=None, context=None) for n in range(1, count + 1)]


def step(remaining, clock, job, name, seconds):
    remaining.on_event(Event("started", job, name))
    clock.now += seconds
    remaining.on_event(Event("finished", job, name))


def test_nothing_is_told_before_something_is_known():
    remaining = Remaining(jobs(2), {}, Clock())
    assert remaining.seconds() is None
    remaining.on_event(Event("job-started", "sub-01"))
    remaining.on_event(Event("started", "sub-01", "field"))
    assert remaining.seconds() is None


def test_the_steps_of_the_first_tell_of_the_others():
    clock = Clock()
    remaining = Remaining(jobs(3), {}, clock)
    remaining.on_event(Event("job-started", "sub-01"))
    step(remaining, clock, "sub-01", "field", 10)
    step(remaining, clock, "sub-01", "chi", 20)
    assert remaining.seconds() == pytest.approx(60)
    remaining.on_event(Event("job-finished", "sub-01"))
    remaining.on_event(Event("job-started", "sub-02"))
    remaining.on_event(Event("started", "sub-02", "field"))
    clock.now += 4
    assert remaining.seconds() == pytest.approx(56)
    clock.now += 100  # longer than expected: no credit for it
    assert remaining.seconds() == pytest.approx(50)


def test_two_at_a_time_halve_it():
    clock = Clock()
    remaining = Remaining(jobs(4), {"sub-01": {"field": 30.0}}, clock)
    assert remaining.seconds() == pytest.approx(120)
    for job in ("sub-01", "sub-02"):
        remaining.on_event(Event("job-started", job))
        remaining.on_event(Event("started", job, "field"))
    assert remaining.seconds() == pytest.approx(60)


def test_unchanged_steps_take_nothing():
    clock = Clock()
    remaining = Remaining(jobs(2), {"sub-01": {"field": 30.0, "chi": 10.0}}, clock)
    remaining.on_event(Event("job-started", "sub-01"))
    remaining.on_event(Event("skipped", "sub-01", "field"))
    assert remaining.seconds() == pytest.approx(20)  # chi of both: field is known to be there


def test_records_of_others_and_broken_ones_do_not_count(tmp_path):
    records = [
        {"basename": "sub-01", "step": "chi", "duration_s": 3},
        {"basename": "sub-09", "step": "chi", "duration_s": 99},
        {"step": "chi"},
        {"basename": "sub-01", "step": "swi", "duration_s": "long"},
    ]
    for number, content in enumerate(records):
        (tmp_path / f"{number}_step-x.json").write_text(json.dumps(content))
    earlier = earlier_durations(load_records(tmp_path))
    assert earlier == {"sub-01": {"chi": 3.0}, "sub-09": {"chi": 99.0}}
    assert Remaining(jobs(1), earlier, Clock()).seconds() == pytest.approx(3)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (1, "about 5 s left"),
        (42, "about 40 s left"),
        (58, "about 1 min left"),
        (3540, "about 59 min left"),
        (7900, "about 2 h 12 min left"),
    ],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words
