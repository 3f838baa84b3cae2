"""Names and values of the settings that have a new name: they work for one release, with a warning that says so."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bids_app.model.json_values import JsonObject, JsonValue


@dataclass(frozen=True)
class Renamed:
    """The new name of a setting, as ``section.name``, and the new names of its values."""

    name: str
    values: Mapping[str, str] = field(default_factory=dict)


#: By the old name; a name that stands on both sides has new values only.
RENAMED: Mapping[str, Renamed] = {
    "background.ringing": Renamed("background.alternation", {"auto": "remove"}),
    "background.transceive": Renamed("background.transmit_receive_phase", {"auto": "remove"}),
    "background.rim_sources": Renamed("background.boundary_sources", {"apart": "separate"}),
    "background.boundary_sources": Renamed("background.boundary_sources", {"apart": "separate"}),
    "background.trend": Renamed("background.null_space_trend", {"tissue": "remove"}),
    "qc.rim_max": Renamed("qc.boundary_max"),
    "inversion.bayes.rounds": Renamed("inversion.bayes.outer_iterations"),
    "group.linear_rounds": Renamed("group.linear_iterations"),
    "group.syn_rounds": Renamed("group.syn_iterations"),
}
#: Settings that are needed no longer: they are left out, with the reason.
REMOVED: Mapping[str, str] = {"field.keep_phase": "inversion.per_echo finds the phase of every echo in any case"}
#: Stages by the names that they had before (``--stage``).
STAGES: Mapping[str, str] = {
    "members": "subjects",
    "drawing": "manual-segmentation",
    "drawn": "manual-regions",
    "drawn-tables": "manual-tables",
}
#: Steps by the names that they had before: records of earlier versions are read under the new ones.
STEPS: Mapping[str, str] = {
    "member": "subject",
    "drawing": "manual_segmentation",
    "drawn": "manual_regions",
    "onward": "standard_space",
}
#: Products by the names that they had before, for the same records.
PRODUCTS: Mapping[str, str] = {
    "member_t1w": "subject_t1w",
    "member_magnitude": "subject_magnitude",
    "xfm_run_to_member": "xfm_run_to_subject",
    "xfm_round": "xfm_iteration",
    "round_t1w": "iteration_t1w",
    "round_magnitude": "iteration_magnitude",
    "dseg_drawn": "dseg_manual",
    "dseg_drawn_gre": "dseg_manual_gre",
    "regions_drawn": "regions_manual",
}
#: What a preset of an old name is called now, and what else has to be said of a preset.
PRESETS: Mapping[str, str] = {
    "consensus": "preset consensus holds what the consensus paper recommends, with published methods alone; what it "
    "held before this release is the preset default now"
}


def product_key(key: str) -> str:
    """Return the key of a product with its new name; a label behind ``@`` stays."""
    name, at, label = key.partition("@")
    return f"{PRODUCTS.get(name, name)}{at}{label}"


def with_new_names(tree: JsonObject, origin: str) -> tuple[JsonObject, tuple[str, ...]]:
    """Return settings with the new names in the place of old ones, and a sentence about each for the user.

    Parameters
    ----------
    tree
        Values by section and name, as a TOML file gives them.
    origin
        What gave them: ``--set background.trend=keep``, ``--config FILE``, ``preset NAME``.
    """
    renamed: JsonObject = {}
    notices = []
    for section, values in tree.items():
        if not isinstance(values, dict):
            renamed[section] = values
            continue
        renamed.setdefault(section, {})
        for old, value in _leaves(section, values):
            if old in REMOVED:
                notices.append(f"{origin}: {old} has no effect: {REMOVED[old]}; the name goes with the next release")
                continue
            new = RENAMED.get(old)
            if new is None or (new.name == old and value not in new.values):
                _place(renamed, old, value)
                continue
            now = new.values.get(value, value) if isinstance(value, str) else value
            _place(renamed, new.name, now)
            notices.append(
                f"{origin}: {old} = {value} is called {new.name} = {now} now; the old name goes with the next release"
            )
    return renamed, tuple(notices)


def _leaves(path: str, values: JsonObject) -> Iterator[tuple[str, JsonValue]]:
    """Yield the values below a path by their full names; an empty table of a method is a value."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(f"{path}.{name}", value)
        else:
            yield f"{path}.{name}", value


def _place(tree: JsonObject, name: str, value: JsonValue) -> None:
    """Set a value by its full name."""
    *path, last = name.split(".")
    for part in path:
        tree = tree.setdefault(part, {})
    tree[last] = value
