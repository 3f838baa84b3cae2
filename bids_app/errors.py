"""Every error that a user may see; each class owns the exit code of the command.

Exit codes: 0 all done, 1 a run failed, 2 usage, 3 input dataset or output folder cannot be used, 4 a required
tool is missing, 5 another command is writing the same output.
"""

from collections.abc import Sequence


class QsmAppError(Exception):
    """A condition that the user reads of in one sentence, without a traceback."""

    exit_code = 1


class RunFailedError(QsmAppError):
    """One or more runs failed; the others are done."""

    exit_code = 1


class UsageError(QsmAppError):
    """The command line, a preset or a ``--set`` is wrong."""

    exit_code = 2


class InputRefusedError(QsmAppError):
    """The input dataset cannot be processed, or nothing can be written; carries every reason at once."""

    exit_code = 3

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class ToolMissingError(QsmAppError):
    """An external program or optional package is not installed; the text says how to get it or do without."""

    exit_code = 4


class OutputInUseError(QsmAppError):
    """Another command is writing what this one would write; the text says who, where and since when."""

    exit_code = 5


class ParameterError(ValueError):
    """A method's parameter has a wrong name, type or value (raised by the numerics, reported as a usage error)."""


#: Packages whose name differs from that of the module.
_PACKAGES = {"ants": "antspyx"}


def missing_package(error: ModuleNotFoundError) -> str:
    """Return the sentence about a package that is not installed, with the command that installs it."""
    module = (error.name or "").partition(".")[0]
    package = _PACKAGES.get(module, module)
    return f"the Python package {package} is not installed: pip install {package}"
