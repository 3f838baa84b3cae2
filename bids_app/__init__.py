"""QSM BIDS App: quantitative susceptibility mapping from the scanner to the group table."""

__version__ = "0.2.0"
