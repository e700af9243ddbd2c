"""Robust dialogue response selectors: adversarial negatives, selectors trained on them, what they bought."""

from typing import TYPE_CHECKING, Any

from pneg.dialogue import Dialogue, read, write

if TYPE_CHECKING:
    from pneg.selector.model import Selector as Selector

__version__ = "0.1.0"
__all__ = ["Dialogue", "Selector", "__version__", "read", "write"]


def __getattr__(name: str) -> Any:
    if name == "Selector":
        from pneg.selector.model import Selector

        return Selector
    raise AttributeError(f"module 'pneg' has no attribute {name!r}")
