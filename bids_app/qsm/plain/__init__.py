"""The steps of the compiled kernels on whole arrays, by the array API standard: what devices run.

Each function has the name of its kernel and computes the same; ``tests/unit/qsm/test_device.py`` compares them.
"""
