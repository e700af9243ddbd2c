"""Below what log-probability a filled response is refused as no likely English."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
CHARACTER_PERCENTILE = 25
WORD_PERCENTILE = 45
"""Of real responses, refused by the published thresholds: measured on DailyDialog++ with SmolLM2-135M.

What share they refuse under GPT-2 is not published, and GPT-2 could not be had where this was measured; a model of
its size stands in for it, which may be off by tens of points. With another scorer the same shares are refused.
Punctuation marks count as words, as word tokenizers of that time have it: were they not counted, -4.9 would refuse
three in four of the responses that people wrote.
"""
SAMPLE = 512
"""Real responses that a scorer is calibrated on."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The lowest mean log-probability (natural logarithm) a response may have, per character and per word."""

    character: float
    word: float

    def passed(self, response: str, log_probability: float) -> bool:
        """Whether a response of this log-probability is likely enough."""
        per_character, per_word = means(response, log_probability)
        return per_character >= self.character and per_word >= self.word


PUBLISHED = Thresholds(character=-1.4, word=-4.9)
"""Of Gupta et al. 2021, for GPT-2."""
PUBLISHED_FOR = "gpt2"


def means(response: str, log_probability: float) -> tuple[float, float]:
    """Log-probability per character, spaces included, and per word or punctuation mark."""
    return log_probability / max(1, len(response)), log_probability / max(1, len(_WORD.findall(response)))


def derived(responses: Sequence[str], log_probabilities: Sequence[float]) -> Thresholds:
    """The thresholds that cut off the published shares of real responses, for a scorer that is not GPT-2.

    Args:
        responses: of people, from the corpus.
        log_probabilities: of each, by the scorer.
    """
    found = np.array([means(*pair) for pair in zip(responses, log_probabilities, strict=True)])
    return Thresholds(
        float(np.percentile(found[:, 0], CHARACTER_PERCENTILE)), float(np.percentile(found[:, 1], WORD_PERCENTILE))
    )


def calibration(responses: Sequence[str], seed: int) -> list[str]:
    """The real responses to derive thresholds from."""
    distinct = list(dict.fromkeys(responses))
    return random.Random(f"{seed}/calibration").sample(distinct, min(SAMPLE, len(distinct)))
