"""Steps that a worker process finds by name: what they do is spelled in the settings."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from bids_app.model.results import Report
from bids_app.model.step import Output, Step, StepResult


def _behave(step):
    deed = step.settings.mask.values["deed"].get(step.record.basename, "")
    print("about to", deed or "work")
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "exit":
        os._exit(7)
    if deed == "raise":
        raise ValueError("no voxel left")
    if deed == "peek":
        Path(step.settings.mask.values["log"]).read_text()
    if deed == "sleep":
        time.sleep(60)
    if deed == "hang once":
        log = Path(step.settings.mask.values["log"])
        first = not log.exists()
        with log.open("a") as file:
            file.write("in\n")
        time.sleep(600 if first else 0)
    if deed == "overlap":
        log = Path(step.settings.mask.values["log"])
        with log.open("a") as file:
            file.write("in\n")
        time.sleep(1.0)
        with log.open("a") as file:
            file.write("out\n")
    threads = np.float32(step.threads)
    return StepResult({"chimap": Output(np.full((3, 3, 3), threads), affine=np.eye(4))})


_STEPS = (Step("behave", "", _behave, reads=("mask",), makes=lambda r, s: ("chimap",)),)


def steps():
    return _STEPS


def after_subject(subject, settings, context, payload):
    return [f"{name} {result.status}" for name, result in payload["results"].items()]


def never_done(subject, settings, context, payload):
    return False


REPORT = Report(after_subject, never_done)
