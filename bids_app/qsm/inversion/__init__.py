"""Dipole inversion."""

from bids_app.qsm.inversion.bayes import bayes
from bids_app.qsm.inversion.empirical_bayes import BayesParams
from bids_app.qsm.inversion.generalised_variation import TgvParams
from bids_app.qsm.inversion.hdqsm import HdQsmParams, hdqsm
from bids_app.qsm.inversion.ilsqr import IlsqrParams, ilsqr
from bids_app.qsm.inversion.l1qsm import L1QsmParams, l1qsm
from bids_app.qsm.inversion.lsqr import LsqrParams, lsqr
from bids_app.qsm.inversion.medi import MediParams, medi
from bids_app.qsm.inversion.ndi import NdiParams, ndi
from bids_app.qsm.inversion.nltv import NltvParams, nltv
from bids_app.qsm.inversion.onnx_network import OnnxParams, onnx
from bids_app.qsm.inversion.rts import RtsParams, rts
from bids_app.qsm.inversion.tgv import tgv
from bids_app.qsm.inversion.tikhonov import TikhonovParams, tikhonov
from bids_app.qsm.inversion.tkd import TkdParams, tkd
from bids_app.qsm.inversion.tv import TvParams, tv

__all__ = [
    "BayesParams",
    "HdQsmParams",
    "IlsqrParams",
    "L1QsmParams",
    "LsqrParams",
    "MediParams",
    "NdiParams",
    "NltvParams",
    "OnnxParams",
    "RtsParams",
    "TgvParams",
    "TikhonovParams",
    "TkdParams",
    "TvParams",
    "bayes",
    "hdqsm",
    "ilsqr",
    "l1qsm",
    "lsqr",
    "medi",
    "ndi",
    "nltv",
    "onnx",
    "rts",
    "tgv",
    "tikhonov",
    "tkd",
    "tv",
]
