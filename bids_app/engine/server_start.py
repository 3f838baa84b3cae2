"""What the server of the workers does before it serves; imported by it alone.

Pages are made in workers, and matplotlib takes half as long to load as a page takes to make.
"""

import importlib
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress

_LIBRARIES = (
    "numba",
    "scipy.fft",
    "scipy.ndimage",
    "nibabel",
    "bids_app.engine.worker",
    "bids_app.steps",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "PIL.WebPImagePlugin",
    "contourpy",
    "jinja2",
)


def load(names: Sequence[str], command: int) -> None:
    """Import what is there, as long as the command (its process number) lives: who waits for its output waits for us.

    Raises
    ------
    SystemExit
        If the command has ended.
    """
    for name in names:
        if os.getppid() != command:
            raise SystemExit
        with suppress(ImportError):
            importlib.import_module(name)


def read_code() -> None:
    """Find the code that every step can reach: workers inherit it, and compare fingerprints without reading source."""
    from bids_app import steps
    from bids_app.engine.code import code_of
    from bids_app.model import cohort, records, template

    for listed, record in (
        (steps.anatomical_steps(), records.Anatomical),
        (steps.participant_steps(), records.GreRun),
        (steps.group_steps(), cohort.Cohort),
        (steps.template_subject_steps(), template.TemplateSubject),
        (steps.template_registration_steps(), template.Registration),
        (steps.template_average_steps(), template.Iteration),
        (steps.template_run_steps(), template.NormalizedRun),
        (steps.template_map_steps(), template.Space),
    ):
        for step in listed:
            code_of(step.function, record)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked by who started us, until here
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of fonts and folders that no page uses
    load(_LIBRARIES, os.getppid())
    read_code()


_start()
