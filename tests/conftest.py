"""What all tests share."""

import signal

# Started in the background by a shell, a process ignores Ctrl-C, and so do its children: tests of interrupts would wait
# for ever. A handler of our own is not passed on: children start with the system's default.
signal.signal(signal.SIGINT, signal.default_int_handler)
