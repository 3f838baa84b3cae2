"""Background field removal."""

from bids_app.qsm.background.harperella import HarperellaParams, harperella
from bids_app.qsm.background.ismv import IsmvParams, ismv
from bids_app.qsm.background.lbv import LbvParams, lbv
from bids_app.qsm.background.msmv import MsmvParams, msmv
from bids_app.qsm.background.pdf import PdfParams, pdf
from bids_app.qsm.background.resharp import ResharpParams, resharp
from bids_app.qsm.background.tfi import TfiParams, tfi
from bids_app.qsm.background.vsharp import VsharpParams, vsharp

__all__ = [
    "HarperellaParams",
    "IsmvParams",
    "LbvParams",
    "MsmvParams",
    "PdfParams",
    "ResharpParams",
    "TfiParams",
    "VsharpParams",
    "harperella",
    "ismv",
    "lbv",
    "msmv",
    "pdf",
    "resharp",
    "tfi",
    "vsharp",
]
