"""The bibliography: every work that the app's methods, code and documents name."""

from bids_app.report.methods import works_analysis, works_qsm
from bids_app.report.methods.reference import Reference

#: The bibliography by key.
REFERENCES: dict[str, Reference] = {one.key: one for one in (*works_qsm.WORKS, *works_analysis.WORKS)}

__all__ = ["REFERENCES", "Reference"]
