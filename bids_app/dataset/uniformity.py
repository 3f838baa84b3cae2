"""Whether all runs of a study were made with the same parameters and by the same code."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from bids_app.model.step_record import StepRecord

#: So many names stand in one sentence.
_NAMED = 10
#: A parameter's value where the step has no such parameter.
_NONE = "not set"
_Records = Sequence[tuple[str, StepRecord]]


def mixtures(runs: Mapping[str, Sequence[StepRecord]]) -> tuple[str, ...]:
    """Return a sentence for everything in which some runs differ from the others.

    Parameters
    ----------
    runs : mapping of StepRecord
        The records of all runs that are analysed together, by the name of the run.

    Notes
    -----
    A step is compared with the same step of the other runs. A version that has changed nothing that a step can reach is
    no difference: the digests of the code decide, and version numbers only where a record has no digest.
    """
    by_step: dict[str, list[tuple[str, StepRecord]]] = {}
    for name, records in runs.items():
        for record in records:
            by_step.setdefault(record.step, []).append((name, record))
    remarks: dict[str, list[str]] = {}
    for step_records in by_step.values():
        for text, name in (*_parameters(step_records), *_code(step_records)):
            names = remarks.setdefault(text, [])
            if name not in names:
                names.append(name)
    return tuple(f"{_listed(names)}: {text}" for text, names in remarks.items())


def _parameters(records: _Records) -> Iterator[tuple[str, str]]:
    """Yield what is different about a run's parameters, and the run."""
    values = {name: dict(_flat(record.parameters)) for name, record in records}
    deviating: dict[str, list[str]] = {}
    for path in dict.fromkeys(path for flat in values.values() for path in flat):
        common, count = _most([(values[name].get(path, _NONE), record.started) for name, record in records])
        for name, flat in values.items():
            if flat.get(path, _NONE) != common:
                words = f"{path} is {flat.get(path, _NONE)}, and {common} in {count} of {len(values)} runs"
                deviating.setdefault(name, []).append(words)
    for name, texts in deviating.items():
        # Parameters of another method follow from the method.
        for text in [text for text in texts if _NONE not in text] or texts:
            yield text, name


def _code(records: _Records) -> Iterator[tuple[str, str]]:
    """Yield by which other code a run's step was run, and the run; runs that make the same products are compared."""
    alike: dict[str, list[tuple[str, StepRecord]]] = {}
    for name, record in records:
        key = json.dumps([sorted(record.outputs), dict(_flat(record.parameters))], sort_keys=True)
        alike.setdefault(key, []).append((name, record))
    for some in alike.values():
        has_digests = all(record.code for _, record in some)
        codes = {name: record.code if has_digests else record.code_version for name, record in some}
        common, count = _most([(codes[name], record.started) for name, record in some])
        version, _ = _most([(_version(record), record.started) for name, record in some if codes[name] == common])
        for name, record in some:
            if codes[name] != common:
                yield f"step {record.step} was run by version {_version(record)}, and {version} in {count} runs", name


def _version(record: StepRecord) -> str:
    return record.code_version or "unknown"


def _most(values: Sequence[tuple[str, str]]) -> tuple[str, int]:
    """Return the value that most have (of several, that of the newest record), and how many have it."""
    counts = Counter(value for value, _ in values)
    newest = {value: max(started for other, started in values if other == value) for value in counts}
    common = max(counts, key=lambda value: (counts[value], newest[value]))
    return common, counts[common]


def _flat(values: Mapping[str, object], start: str = "") -> Iterator[tuple[str, str]]:
    """Yield the parameters of nested sections with their values, as JSON has them."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", json.dumps(value)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
