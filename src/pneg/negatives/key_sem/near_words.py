"""Words near a phrase in the input embeddings of a language model."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pneg.lm.causal import Causal
from pneg.negatives.words import stop_words

TOP = 10
_WHOLE_WORD = re.compile(r"[a-z]{3,}")


class NearWords:
    """Words with an embedding each.

    Args:
        words: distinct, in lower case; stop words are left out.
        vectors: theirs, shape (words, dimensions); compared by cosine once their mean is taken off.
    """

    def __init__(self, words: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        kept = [number for number, word in enumerate(words) if word not in stop_words()]
        self.words = [words[number] for number in kept]
        self.places = {word: place for place, word in enumerate(self.words)}
        centred = vectors[kept] - vectors[kept].mean(0)
        self.vectors = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(min=1e-9)
        self._found: dict[str, list[str]] = {}

    @classmethod
    def of(cls, lm: Causal) -> "NearWords":
        """The whole words of a model's vocabulary that follow a space, letters from a to z only."""
        tokenizer = lm.tokenizer
        numbers: dict[str, int] = {}
        for number, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
            word = (token or "")[1:]
            if token and token[0] in "\u0120\u2581" and _WHOLE_WORD.fullmatch(word):
                numbers.setdefault(word, number)
        table = lm.model.get_input_embeddings().weight
        return cls(list(numbers), table[list(numbers.values())].detach().float().cpu().numpy())

    def near(self, phrase: str) -> list[str]:
        """The words nearest to a phrase, nearest first, none of its own; empty where none of its words is known."""
        if phrase not in self._found:
            own = [self.places[word] for word in phrase.split() if word in self.places]
            ranked = np.argsort(-(self.vectors @ self.vectors[own].sum(0)), kind="stable")[: TOP + len(own)]
            nearest = [place for place in ranked.tolist() if place not in own] if own else []
            self._found[phrase] = [self.words[place] for place in nearest[:TOP]]
        return self._found[phrase]
