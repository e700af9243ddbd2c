"""Language models: prompts in, text out. Nothing here knows what a dialogue is."""

from pneg.lm.base import Complete, Completion, LanguageModel, Request, Sampling
from pneg.lm.batch_api import BatchAPI
from pneg.lm.client import OpenAICompatible
from pneg.lm.embedded import Embedded
from pneg.lm.flow import Paced, Policy
from pneg.lm.ledger import Ledger, Run
from pneg.lm.local import Transformers
from pneg.lm.prices import Metered, Price
from pneg.lm.recorded import Recorded
from pneg.lm.scripted import Scripted
from pneg.lm.watched import Watched

__all__ = [
    "BatchAPI",
    "Complete",
    "Completion",
    "Embedded",
    "LanguageModel",
    "Ledger",
    "Metered",
    "OpenAICompatible",
    "Paced",
    "Policy",
    "Price",
    "Recorded",
    "Request",
    "Run",
    "Sampling",
    "Scripted",
    "Transformers",
    "Watched",
]
