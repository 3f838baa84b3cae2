"""What is known of a scan besides its images and echo times, and decides how its phase is corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bids_app.qsm.params import nearest

#: Readouts that a scan can be known to have; empty: the data decide.
READOUTS = ("", "monopolar", "bipolar")
#: Where sidecars say which one it was.
_READOUT_FIELDS = ("ReadoutMode", "ReadoutPolarity", "MultiEchoReadout")


@dataclass(frozen=True)
class Acquisition:
    """What is known of a scan; everything has a value for scans of which nothing is known.

    Parameters
    ----------
    manufacturer : str
        Maker of the scanner; where ``FieldChoices.sign`` is ``"auto"``, the sign of the phase is inverted for GE.
    readout : str
        ``"monopolar"``, ``"bipolar"``, or empty where it is not known and the data decide.
    echo_numbers : sequence of int
        Place of each echo in the readout, where echoes were left out: a bipolar readout alternates by it. Empty: the
        echoes follow each other.
    phase_scaling : str
        How the phase got its scale, for notes and warnings (:attr:`~bids_app.qsm.phase.scaling.ScaledPhase.note`).

    Raises
    ------
    ValueError
        If there is no such readout.

    Examples
    --------
    >>> from bids_app import qsm
    >>> qsm.Acquisition("GE MEDICAL SYSTEMS", readout="bipolar").readout
    'bipolar'
    >>> qsm.Acquisition(readout="bipolr")
    Traceback (most recent call last):
        ...
    ValueError: there is no readout 'bipolr': did you mean 'bipolar'?
    """

    manufacturer: str = ""
    readout: str = ""
    echo_numbers: Sequence[int] = ()
    phase_scaling: str = "taken as radians"

    def __post_init__(self) -> None:
        if self.readout not in READOUTS:
            raise ValueError(f"there is no readout {self.readout!r}: {nearest(self.readout, list(READOUTS[1:]))}")
        object.__setattr__(self, "echo_numbers", tuple(int(number) for number in self.echo_numbers))

    @classmethod
    def from_sidecars(
        cls,
        sidecars: Sequence[Mapping[str, object]],
        echo_numbers: Sequence[int] = (),
        phase_scaling: str = "taken as radians",
    ) -> "Acquisition":
        """Return what the BIDS sidecars of the echoes say: the first one the maker, any of them the readout.

        Examples
        --------
        >>> from bids_app import qsm
        >>> qsm.Acquisition.from_sidecars([{"Manufacturer": "Siemens"}, {"ReadoutMode": "Bipolar"}]).readout
        'bipolar'
        """
        stated = (str(sidecar.get(name, "")).lower() for sidecar in sidecars for name in _READOUT_FIELDS)
        readout = next((word for text in stated for word in READOUTS[1:] if word in text), "")
        return cls(str(sidecars[0].get("Manufacturer", "")), readout, echo_numbers, phase_scaling)

    @property
    def is_ge(self) -> bool:
        """Whether the phase falls where the field is higher, as GE scanners store it."""
        return self.manufacturer.upper().startswith("GE")

    def numbers_of(self, count: int) -> tuple[int, ...]:
        """Return the place of each of ``count`` echoes in the readout.

        Raises
        ------
        ValueError
            If there are numbers for another count of echoes.
        """
        if self.echo_numbers and len(self.echo_numbers) != count:
            raise ValueError(f"there are {len(self.echo_numbers)} echo numbers for {count} echoes")
        return tuple(self.echo_numbers) or tuple(range(count))
