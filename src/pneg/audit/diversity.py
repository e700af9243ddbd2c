"""How much the responses of a source repeat each other, and the demonstrations they may have been written from."""

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneg.audit.words import words
from pneg.dialogue import normalised
from pneg.errors import needs

SAMPLE = 1000
"""Responses that distinct-n is computed from: it falls with their number, so sources are compared at one size."""
BLEU_SAMPLE = 100
"""Responses that self-BLEU is computed from: its time grows with their square."""
NEAR_SAMPLE = 10_000
"""Distinct responses among which near-duplicates and copies are looked for."""
SIMILAR = 0.8
"""Jaccard similarity of two responses' character trigrams from which they count as near-duplicates: one word of
seven or eight differs."""
PERMUTATIONS = 64
"""Hash functions of a MinHash."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """How much texts repeat each other.

    Attributes:
        texts: how many there are.
        sampled: how many of them distinct-n is computed from.
        distinct_1: distinct words over words.
        distinct_2: distinct pairs of words in a row over such pairs.
        bleu_sampled: how many of the texts self-BLEU is computed from.
        self_bleu: mean BLEU of a text against all others, from 0 to 100; None for fewer than two texts.
        repeated: share of the texts that stand there more than once, when case, space and final punctuation do not
            count.
        compared: how many distinct texts the next two are computed from.
        near_duplicates: share of the texts that come close to another, different one.
        copies: share of the texts that are a demonstration's response, or come close to one.
    """

    texts: int
    sampled: int
    distinct_1: float
    distinct_2: float
    bleu_sampled: int
    self_bleu: float | None
    repeated: float
    compared: int
    near_duplicates: float
    copies: float

    def as_json(self) -> dict[str, Any]:
        """The figures under the names that `pneg audit --json` prints."""
        return {
            "texts": self.texts,
            "sampled": self.sampled,
            "distinct-1": self.distinct_1,
            "distinct-2": self.distinct_2,
            "self-bleu": self.self_bleu,
            "self-bleu_sampled": self.bleu_sampled,
            "repeated": self.repeated,
            "compared": self.compared,
            "near-duplicates": self.near_duplicates,
            "copies": self.copies,
        }


def diversity(texts: Sequence[str], demonstrations: Iterable[str] = (), seed: int = 0) -> Diversity:
    """Measure how much texts repeat each other.

    Args:
        texts: the responses of a source, at least one.
        demonstrations: responses they may have been copied from.
        seed: seed of the samples.
    """
    sample = [words(text) for text in _sample(texts, SAMPLE, seed)]
    times = Counter(map(normalised, texts))
    compared = [*times] if len(times) <= NEAR_SAMPLE else _sample([*times], NEAR_SAMPLE, seed)
    weight = sum(times[text] for text in compared)
    near = near_duplicates(compared)
    copied = near_duplicates(compared, sorted({normalised(text) for text in demonstrations}))
    return Diversity(
        texts=len(texts),
        sampled=len(sample),
        distinct_1=distinct(sample, 1),
        distinct_2=distinct(sample, 2),
        bleu_sampled=min(len(texts), BLEU_SAMPLE),
        self_bleu=self_bleu(sample[:BLEU_SAMPLE]),
        repeated=sum(count for count in times.values() if count > 1) / len(texts),
        compared=len(compared),
        near_duplicates=sum(times[text] for text in near) / weight,
        copies=sum(times[text] for text in copied) / weight,
    )


def _sample(texts: Sequence[str], size: int, seed: int) -> list[str]:
    order = np.random.default_rng(seed).permutation(len(texts))[:size]
    return [texts[place] for place in order.tolist()]


def distinct(texts: Iterable[Sequence[str]], n: int) -> float:
    """Distinct n-grams over n-grams (Li et al. 2016, doi:10.18653/v1/N16-1014); 0 without any.

    Args:
        texts: the words of each text.
        n: words of an n-gram; none spans two texts.
    """
    counts = Counter(gram for text in texts for gram in zip(*(text[start:] for start in range(n)), strict=False))
    return len(counts) / max(1, counts.total())


def self_bleu(texts: Sequence[Sequence[str]]) -> float | None:
    """The mean BLEU of each text against all others (Zhu et al. 2018, doi:10.1145/3209978.3210080), from 0 to 100.

    Args:
        texts: the words of each text.

    Returns:
        None for fewer than two texts.
    """
    with needs("audit"):
        from sacrebleu.metrics.bleu import BLEU
    lines = [" ".join(text) for text in texts]
    if len(lines) < 2:
        return None
    metric = BLEU(tokenize="none", effective_order=True)
    scores = [
        metric.sentence_score(line, [*lines[:place], *lines[place + 1 :]]).score for place, line in enumerate(lines)
    ]
    return float(np.mean(scores))


def near_duplicates(texts: Sequence[str], others: Sequence[str] | None = None) -> set[str]:
    """The texts that come close to another one: candidates by MinHash, the similarity itself computed exactly.

    Args:
        texts: distinct texts.
        others: those they are compared with; by default each other. An equal text counts only among these.
    """
    with needs("audit"):
        from datasketch import MinHash, MinHashLSH
    shingles = [_shingles(text) for text in texts]
    hashes = MinHash.bulk(shingles, num_perm=PERMUTATIONS, hashfunc=zlib.crc32)
    known, known_hashes = shingles, hashes
    if others is not None:
        known = [_shingles(text) for text in others]
        known_hashes = MinHash.bulk(known, num_perm=PERMUTATIONS, hashfunc=zlib.crc32)
    index = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS)
    for number, hashed in enumerate(known_hashes):
        index.insert(number, hashed, check_duplication=False)
    return {
        text
        for number, (text, own) in enumerate(zip(texts, shingles, strict=True))
        if any(
            (others is not None or other != number) and _similarity(own, known[other]) >= SIMILAR
            for other in index.query(hashes[number])
        )
    }


def _shingles(text: str) -> frozenset[bytes]:
    padded = f" {text} "
    return frozenset(padded[place : place + 3].encode("utf-8", "surrogatepass") for place in range(len(padded) - 2))


def _similarity(first: frozenset[bytes], second: frozenset[bytes]) -> float:
    both = len(first & second)
    return both / max(1, len(first) + len(second) - both)
