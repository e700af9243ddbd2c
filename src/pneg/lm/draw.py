"""The next token of many texts at once, each drawn its own way."""

from random import Random

import torch
from torch.nn import functional

from pneg.lm.base import Sampling

LIKELIEST = 256
"""So many tokens are drawn from; to sort a whole vocabulary takes longer than the model."""
COLDEST = 1e-4
"""Stands for temperature 0."""


class Draw:
    """How the token of each slot is drawn: its sampling, its seed's numbers, its penalties so far.

    The number that decides a token depends on the seed and the token's place alone, so no text depends on which
    others are drawn with it.

    Args:
        slots: how many.
        vocabulary: tokens the model knows.
        device: where logits come from.
    """

    def __init__(self, slots: int, vocabulary: int, device: torch.device) -> None:
        self._penalties = torch.zeros((slots, vocabulary), dtype=torch.float16, device=device)
        self._settings = torch.ones((slots, 4), device=device)
        self._numbers = [Random(0) for _ in range(slots)]

    def start(self, slot: int, sampling: Sampling, seed: int) -> None:
        """Begin a new text in a slot."""
        self._penalties[slot] = 0
        self._settings[slot] = torch.tensor(
            [
                max(sampling.temperature, COLDEST),
                sampling.top_p,
                sampling.frequency_penalty,
                sampling.presence_penalty,
            ]
        )
        self._numbers[slot] = Random(seed)

    def move(self, source: int, target: int) -> None:
        """Let the slot `target` go on where the slot `source` is."""
        self._penalties[target] = self._penalties[source]
        self._settings[target] = self._settings[source]
        self._numbers[target] = self._numbers[source]

    def next(self, logits: torch.Tensor, rows: slice) -> torch.Tensor:
        """One token for each of neighbouring slots.

        Penalties count what a text has written, not its prompt, as OpenAI's do.

        Args:
            logits: (rows, vocabulary).
            rows: the slots.

        Returns:
            (rows,) token ids.
        """
        penalties = self._penalties[rows]
        temperature, top_p, frequency, presence = self._settings[rows].unsqueeze(-1).unbind(1)
        kept, tokens = (logits.float() - penalties).topk(min(LIKELIEST, logits.shape[1]), -1)
        mass = torch.softmax(kept / temperature, -1).cumsum(-1)
        # A token is within top-p when those before it weigh less than p; the draw is among these.
        within = (functional.pad(mass[:, :-1], (1, 0)) < top_p).sum(-1, keepdim=True)
        number = torch.tensor([[numbers.random()] for numbers in self._numbers[rows]], device=logits.device)
        place = torch.searchsorted(mass, number * mass.gather(1, within - 1), right=True).minimum(within - 1)
        drawn = tokens.gather(1, place)
        so_far = penalties.gather(1, drawn)
        penalties.scatter_(1, drawn, (so_far + frequency + presence * (so_far == 0)).half())
        return drawn[:, 0]
