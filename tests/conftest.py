"""What all tests share."""

import signal

from hypothesis import settings

from tests.helpers.opened_files import start_audit

# Started in the background by a shell, a process ignores Ctrl-C, and so do its children: tests of interrupts would wait
# for ever. A handler of our own is not passed on: children start with the system's default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two processes of tests and what they start share the processors: an example that waits for one is no failure.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

# Before the first test, which may start the server that all workers come from.
start_audit()
