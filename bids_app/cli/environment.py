"""Environment variables that libraries read when they are loaded."""

import os


def prepare_environment() -> None:
    """Set the variables, unless the user has set them; worker processes inherit them.

    NumPy asks for huge pages for large arrays. Where a virtual machine gives free memory back to its host, which it
    does in blocks of the size of huge pages, each of them comes back slowly: the first step of a 1 mm head took 7 s and
    not 2.7 s. With small pages a machine of its own spends 0.2 s more per gigabyte.
    """
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
