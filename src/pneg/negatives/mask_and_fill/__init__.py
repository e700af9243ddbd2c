"""`mask-and-fill`: utterances -> masked versions -> fills in a wrong context -> likely, new and diverse ones."""

from pneg.negatives.mask_and_fill.source import MaskAndFill

__all__ = ["MaskAndFill"]
