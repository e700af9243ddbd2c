"""Sources of negatives: what each is called in `Dialogue.negatives` is its `name`."""

from pneg.negatives.base import NegativeSource, add
from pneg.negatives.bm25 import BM25
from pneg.negatives.context import Context
from pneg.negatives.human import Human
from pneg.negatives.key_sem import KeySem
from pneg.negatives.mask_and_fill import MaskAndFill
from pneg.negatives.prompted import Prompted
from pneg.negatives.random import Random
from pneg.negatives.semi_hard import SemiHard

__all__ = [
    "BM25",
    "Context",
    "Human",
    "KeySem",
    "MaskAndFill",
    "NegativeSource",
    "Prompted",
    "Random",
    "SemiHard",
    "add",
]
