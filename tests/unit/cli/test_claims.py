"""A command that is refused because another one writes the same output has changed nothing."""

from types import SimpleNamespace

import pytest

from bids_app.cli.session import Session
from bids_app.engine.claims import claimed
from bids_app.engine.job import Job
from bids_app.errors import OutputInUseError
from bids_app.model.context import Context


def test_a_refused_command_prepares_nothing_and_writes_nothing(tmp_path):
    context = Context(tmp_path / "bids", tmp_path / "out", tmp_path / "out" / "work", 1)
    settings = SimpleNamespace(to_mapping=dict)
    jobs = [Job(name=name, settings=settings, context=context) for name in ("tpl-Own_maps", "group")]
    session = Session(context, settings, ("qsm-bids-app",), lambda *given: pytest.fail("it runs"))
    with claimed(context, {"group": False}, ""):
        before = sorted(context.output_dir.rglob("*"))
        with pytest.raises(OutputInUseError, match="is writing group"):
            session.process(jobs, [], prepare=lambda: pytest.fail("it prepares"))
        assert sorted(context.output_dir.rglob("*")) == before
    assert [path for path in context.output_dir.rglob("*") if path.is_file()] == []


def test_jobs_know_by_what_they_are_claimed_and_facts_come_after_the_claim(tmp_path):
    context = Context(tmp_path / "bids", tmp_path / "out", tmp_path / "out" / "work", 1)
    seen = []

    class Held(Session):
        def _process(self, jobs, facts, validation, warning):
            seen.append((jobs[0].context.claim, list(facts)))
            return 0

    settings = SimpleNamespace(to_mapping=dict)
    session = Held(context, settings, (), lambda *given: {})
    locks = context.output_dir / "logs" / "locks"
    assert (
        session.process(
            [Job(name="group", settings=settings, context=context)],
            ["a"],
            prepare=lambda: [str((locks / "group.command").is_file())],
        )
        == 0
    )
    ((claim, facts),) = seen
    assert claim.endswith(".pulse")
    assert facts == ["a", "True"]
    assert not locks.exists()
