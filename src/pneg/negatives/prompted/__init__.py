"""The paper's method: demonstrations -> prompt -> completion -> parsed responses -> faults -> retry."""

from pneg.negatives.prompted.source import Prompted

__all__ = ["Prompted"]
