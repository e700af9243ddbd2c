"""`key-sem`: keyphrases of the context -> some replaced by near words -> a reply written in a wrong context."""

from pneg.negatives.key_sem.source import KeySem

__all__ = ["KeySem"]
