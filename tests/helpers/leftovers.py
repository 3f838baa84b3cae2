"""What a killed process leaves in an output folder."""

from pathlib import Path

from bids_app.derivatives.scratch import this_machine

_DEAD = 2**22 + 1  # above the highest number that Linux gives a process


def leave_part(folder: Path, host: str | None = None) -> Path:
    """Leave a half-written file as a process of a machine (none: this one) would that was killed; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".x.json~{host or this_machine()}~{_DEAD}~00000000.part"
    part.write_bytes(b"half")
    return part
