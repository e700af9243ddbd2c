"""From texts to token numbers: each text is tokenised once, pairs are put together from the parts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg.errors import ModelError

Tokens = npt.NDArray[np.int32]
CHUNK = 8192
"""Texts given to the tokenizer at a time."""
WORDS = (
    "yes",
    "no",
    "you",
    "what",
    "time",
    "да",
    "что",
    "的",
    "是",
    "の",
    "です",
    "نعم",
    "هذا",
    "है",
    "כן",
    "예",
    "네",
)
"""Ordinary words, of which a tokenizer of a natural language tells some apart."""


@dataclass(frozen=True, slots=True)
class Ragged:
    """Token numbers of many texts in one flat array.

    Attributes:
        flat: all tokens, shape (total,).
        starts: where each text begins and the last one ends, shape (texts + 1,).
    """

    flat: Tokens
    starts: npt.NDArray[np.int64]

    def __getitem__(self, number: int) -> Tokens:
        return self.flat[self.starts[number] : self.starts[number + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each text, shape (texts,)."""
        return np.diff(self.starts)


class PairTokenizer:
    """Makes (context, response) pairs as the backbone's own tokenizer would, faster.

    A pair longer than `max_length` loses its oldest tokens: of the longer part first, which is the tokenizer's
    `longest_first` with `truncation_side="left"`.

    Args:
        tokenizer: of `tokenizers`, or a fast one of `transformers`, which knows the rest by itself.
        max_length: tokens of a pair, special ones included.
        pad: the number of the padding token, where the tokenizer is of `tokenizers`.
        types: whether the model reads token types, likewise.

    Attributes:
        inner: the tokenizer of `tokenizers`.

    Raises:
        ModelError: when the tokenizer puts no separator between two texts, or `max_length` leaves no room for them.
    """

    def __init__(self, tokenizer: Any, max_length: int, *, pad: int | None = None, types: bool | None = None) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
        self._whole_texts()
        example = self.inner.encode("yes", "no")
        ids, parts = np.array(example.ids, dtype=np.int32), example.sequence_ids
        if 0 not in parts or 1 not in parts or None not in parts[parts.index(0) : parts.index(1)]:
            raise ModelError("the tokenizer puts no separator between two texts")
        first, second = parts.index(0), parts.index(1)
        first_end, second_end = second - parts[::-1][-second:].index(0), len(parts) - parts[::-1].index(1)
        self.before, self.middle, self.after = ids[:first], ids[first_end:second], ids[second_end:]
        self.between_turns = f" {self.inner.id_to_token(int(self.middle[0]))} "
        read = "token_type_ids" in tokenizer.model_input_names if types is None else types
        self.has_types = read and len(set(example.type_ids)) > 1
        self.specials = len(self.before) + len(self.middle) + len(self.after)
        self.pad = int(tokenizer.pad_token_id if pad is None else pad)
        if max_length < self.specials + 2:
            raise ModelError(f"the maximum length is {max_length}, pairs need {self.specials + 2} tokens at least")

    @classmethod
    def checked(
        cls, tokenizer: Any, max_length: int, *, pad: int | None = None, types: bool | None = None
    ) -> "PairTokenizer":
        """One whose tokenizer, from a folder that may be damaged, knows ordinary words; arguments as of the class.

        Raises:
            ModelError: as above, or when the tokenizer has no vocabulary.
        """
        try:
            pairs = cls(tokenizer, max_length, pad=pad, types=types)
            pairs._check_words()
        except ModelError:
            raise
        except Exception as error:  # what tokenizers raises is a bare Exception
            raise ModelError(f"the tokenizer is broken: {error}") from error
        return pairs

    def _check_words(self) -> None:
        self._whole_texts()
        found = self.inner.encode_batch_fast(list(WORDS), add_special_tokens=False)
        # an unknown word is one token, behind the mark of a word's beginning in some tokenizers
        if len({token for encoding in found for token in encoding.ids}) <= 2:
            raise ModelError("ordinary words are all unknown to the tokenizer: its vocabulary is missing")

    def join(self, turns: Sequence[str]) -> str:
        """A context as one text: the turns with the separator of the backbone between them."""
        return self.between_turns.join(turns)

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Tokenise texts, without special tokens around them, on all cores."""
        self._whole_texts()
        arrays: list[Tokens] = []
        for start in range(0, len(texts), CHUNK):
            found = self.inner.encode_batch_fast(list(texts[start : start + CHUNK]), add_special_tokens=False)
            arrays.extend(np.array(encoding.ids, dtype=np.int32) for encoding in found)
        starts = np.zeros(len(arrays) + 1, dtype=np.int64)
        np.cumsum([len(array) for array in arrays], out=starts[1:])
        return Ragged(np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int32), starts)

    def encode_pairs(
        self, pairs: Iterable[tuple[Sequence[str], str]], history: int | None
    ) -> tuple[Ragged, Ragged, list[tuple[int, int]]]:
        """Tokenise each distinct context and response of pairs once.

        Args:
            pairs: (turns, response) each.
            history: turns that are kept, counted from the last; None for all.

        Returns:
            The contexts, the responses, and for each pair which of them it is made of.
        """
        first = None if history is None else -history
        contexts: dict[str, int] = {}
        responses: dict[str, int] = {}
        numbers = [
            (
                contexts.setdefault(self.join(tuple(turns)[first:]), len(contexts)),
                responses.setdefault(response, len(responses)),
            )
            for turns, response in pairs
        ]
        return self.encode(list(contexts)), self.encode(list(responses)), numbers

    def _whole_texts(self) -> None:
        """What is cut and padded is decided here; the tokenizer may have been used otherwise in the meantime."""
        self.inner.no_truncation()
        self.inner.no_padding()

    def kept(
        self, context: npt.NDArray[np.int64], response: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """How many tokens of contexts and responses of these lengths are kept, each of shape (pairs,)."""
        room = self.max_length - self.specials
        short = np.minimum(np.minimum(context, response), room // 2)
        long = np.minimum(np.maximum(context, response), room - short)
        shorter = context <= response
        return np.where(shorter, short, long), np.where(shorter, long, short)


def buckets(
    lengths: npt.ArrayLike, tokens: int, slack: float = 0.85, fewest: int = 8
) -> Iterator[npt.NDArray[np.int64]]:
    """Split pairs into batches of like length, longest first, so that little is padding.

    Args:
        lengths: tokens of each pair, shape (pairs,).
        tokens: most tokens in a batch, padding included (a single pair may have more).
        slack: a batch ends before a pair shorter than this share of its longest...
        fewest: ...if it has this many pairs already.

    Yields:
        Numbers of pairs; together each once.
    """
    sizes = np.asarray(lengths)
    order = np.argsort(-sizes, kind="stable")
    start = 0
    for place in range(1, len(order) + 1):
        longest, count = sizes[order[start]], place - start
        if place == len(order) or (
            (count + 1) * longest > tokens or (count >= fewest and sizes[order[place]] < slack * longest)
        ):
            yield order[start:place]
            start = place
