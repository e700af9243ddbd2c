"""Packing: contexts and candidates, as tokens, into one batch that is next to no padding.

A cross-encoder reads a row for each pair: the context, then the candidate. A shared-context selector reads one row
for each context: the context once and all its candidates behind it, where a candidate sees the context and itself and
the context sees only itself, so that no score depends on the other candidates. Positions start behind the context for
each candidate, whose first token, the one that is scored, stands where a pair's first token does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pneg.selector.tokens import PairTokenizer, Ragged

Architecture = Literal["cross", "shared"]
Numbers = npt.NDArray[np.int64]
TOGETHER = 64
"""Candidates in a row of a shared-context selector, at most."""
PADDING, CONTEXT = -1, 0
"""Segments; the candidates of a row are 1, 2, ..."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one length that lie behind each other in a batch.

    Attributes:
        rows: how many.
        length: tokens of each, padding included.
        scored: tokens of each that are scored.
        masked: whether some tokens may not see some others.
    """

    rows: int
    length: int
    scored: int
    masked: bool


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch as flat arrays.

    Attributes:
        input_ids: shape (tokens,).
        positions: of each token, from 0, of the same shape.
        types: 0 for the context, 1 for candidates where the backbone tells them apart, of the same shape.
        segments: `PADDING`, `CONTEXT` (in a cross-encoder's rows all tokens), or the candidate's number in its row.
        scored: places of the tokens that are scored, shape (scores,).
        pairs: the number of the pair that each score is of, -1 where it is of none, of the same shape.
        blocks: what rows the tokens are.
        architecture: how the rows are made.
    """

    input_ids: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32]
    segments: npt.NDArray[np.int32]
    scored: Numbers
    pairs: Numbers
    blocks: tuple[Block, ...]
    architecture: Architecture

    @property
    def places(self) -> Numbers:
        """Where the score of each pair is among the scores, shape (pairs,)."""
        return np.argsort(self.pairs, kind="stable")[int((self.pairs < 0).sum()) :]

    @property
    def padding(self) -> float:
        """The share of tokens that are padding."""
        return float((self.segments == PADDING).mean())


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs pairs for an architecture.

    Args:
        form: how a backbone wants pairs.
        architecture: `cross` or `shared`.
        slack: rows are padded to the longest of their block, which takes rows of at least this share of its length.
            1 for no padding; less for fewer and larger blocks.
    """

    form: PairTokenizer
    architecture: Architecture
    slack: float = 1.0

    def sizes(self, context: Numbers, response: Numbers) -> Numbers:
        """Tokens that each pair adds to a batch, given the lengths of its texts, shape (pairs,).

        The context of a shared-context selector is left out: see `context_size`.
        """
        if self.architecture == "cross":
            first, second = self.form.kept(context, response)
            return np.asarray(first + second + self.form.specials)
        return np.minimum(response, self.longest_candidate) + len(self.form.before) + len(self.form.after)

    def context_size(self, context: Numbers) -> Numbers:
        """Tokens that each context adds to a batch once, shape (contexts,)."""
        if self.architecture == "cross":
            return np.zeros_like(context)
        return np.minimum(context, self.longest_context) + len(self.form.before) + len(self.form.middle)

    @property
    def longest_context(self) -> int:
        """Tokens of a context, at most, where candidates share it, whatever candidates these are."""
        return self.form.max_length - self.form.specials

    @property
    def longest_candidate(self) -> int:
        """Tokens of a candidate, at most, where candidates share the context."""
        return self.form.max_length // 2

    @property
    def longest(self) -> int:
        """Positions that may be needed, at most."""
        if self.architecture == "cross":
            return self.form.max_length
        return self.form.max_length + self.longest_candidate

    def batches(
        self, contexts: Ragged, responses: Ragged, numbers: Numbers, tokens: int
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Split pairs into batches of about so many tokens, pairs of like length or of one context together.

        Yields:
            Numbers of pairs; together each once.
        """
        sizes = self.sizes(contexts.lengths[numbers[:, 0]], responses.lengths[numbers[:, 1]])
        order = np.argsort(-sizes if self.architecture == "cross" else numbers[:, 0], kind="stable")
        shown = numbers[order, 0]
        once = np.where(np.diff(shown, prepend=-1) != 0, self.context_size(contexts.lengths[shown]), 0)
        ends = np.cumsum(sizes[order] + once)
        yield from np.split(order, np.flatnonzero(np.diff(ends // tokens)) + 1)

    def pack(self, contexts: Ragged, responses: Ragged, numbers: Numbers) -> Packed:
        """Make a batch.

        Args:
            contexts: the texts of contexts.
            responses: the texts of candidates.
            numbers: the context and the candidate of each pair, shape (pairs, 2).
        """
        make = self._cross if self.architecture == "cross" else self._shared
        return make(contexts, responses, numbers)

    def _cross(self, contexts: Ragged, responses: Ragged, numbers: Numbers) -> Packed:
        form = self.form
        of_context, of_response = numbers.T
        first, second = form.kept(contexts.lengths[of_context], responses.lengths[of_response])
        sizes = first + second + form.specials
        order = np.argsort(-sizes, kind="stable")
        first, second, sizes = first[order], second[order], sizes[order]
        of_context, of_response = of_context[order], of_response[order]
        places, blocks = self._rows(sizes, np.ones_like(sizes))
        batch = _Batch(places[-1], form.pad)
        at = places[:-1]
        batch.fixed(at, form.before)
        batch.copy(at + len(form.before), contexts, of_context, first)
        middle = at + len(form.before) + first
        batch.fixed(middle, form.middle)
        behind = middle + len(form.middle)
        batch.copy(behind, responses, of_response, second)
        batch.fixed(behind + second, form.after)
        batch.segments[_spread(at, sizes)] = CONTEXT
        if form.has_types:
            batch.types[_spread(behind, second + len(form.after))] = 1
        batch.positions[:] = np.arange(places[-1]) - np.repeat(at, np.diff(places))
        return Packed(batch.ids, batch.positions, batch.types, batch.segments, at, order, blocks, "cross")

    def _shared(self, contexts: Ragged, responses: Ragged, numbers: Numbers) -> Packed:
        form = self.form
        order = np.argsort(numbers[:, 0], kind="stable")
        rows = rows_of(numbers[order, 0])
        lengths = np.minimum(responses.lengths[numbers[order, 1]], self.longest_candidate)
        parts = lengths + len(form.before) + len(form.after)
        shown = np.minimum(contexts.lengths[numbers[order[rows[:-1]], 0]], self.longest_context)
        heads = shown + len(form.before) + len(form.middle)
        sizes = heads + np.add.reduceat(parts, rows[:-1])
        # longest rows first: the pairs are put into the order of their rows
        by_size = np.argsort(-sizes, kind="stable")
        counts = np.diff(rows)[by_size]
        pairs = _spread(rows[:-1][by_size], counts)
        order, lengths, parts = order[pairs], lengths[pairs], parts[pairs]
        shown, heads = shown[by_size], heads[by_size]
        places, blocks = self._rows(sizes[by_size], counts)
        batch, at = _Batch(places[-1], form.pad), places[:-1]
        row = np.repeat(np.arange(len(counts)), counts)
        ends = np.cumsum(parts)
        before_row = np.repeat(
            ends[np.cumsum(counts) - 1] - np.add.reduceat(parts, np.cumsum(counts) - counts), counts
        )
        starts = at[row] + heads[row] + ends - parts - before_row

        batch.fixed(at, form.before)
        batch.copy(at + len(form.before), contexts, numbers[order[np.cumsum(counts) - counts], 0], shown)
        batch.fixed(at + len(form.before) + shown, form.middle)
        batch.fixed(starts, form.before)
        batch.copy(starts + len(form.before), responses, numbers[order, 1], lengths)
        batch.fixed(starts + len(form.before) + lengths, form.after)

        batch.segments[_spread(at, heads)] = CONTEXT
        number = np.arange(len(parts)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        batch.segments[_spread(starts, parts)] = np.repeat(number, parts)
        behind = starts + len(form.before)
        tokens = lengths + len(form.after)
        if form.has_types:
            batch.types[_spread(behind, tokens)] = 1
        batch.positions[_spread(at, heads)] = _counted(heads)
        batch.positions[_spread(starts, np.full_like(starts, len(form.before)))] = np.tile(
            np.arange(len(form.before)), len(starts)
        )
        batch.positions[_spread(behind, tokens)] = _counted(tokens) + np.repeat(heads[row], tokens)
        scored, of_pair = _scored(blocks, at, counts, starts, order)
        return Packed(batch.ids, batch.positions, batch.types, batch.segments, scored, of_pair, blocks, "shared")

    def _rows(self, sizes: Numbers, counts: Numbers) -> tuple[Numbers, tuple[Block, ...]]:
        """Where each row begins, and the end of the last one; rows are given longest first."""
        blocks, start = [], 0
        for place in range(1, len(sizes) + 1):
            if place == len(sizes) or sizes[place] < self.slack * sizes[start]:
                length = int(sizes[start])
                masked = self.architecture == "shared" or bool(sizes[place - 1] < length)
                blocks.append(Block(place - start, length, int(counts[start:place].max()), masked))
                start = place
        padded = np.concatenate([[0], *([block.length] * block.rows for block in blocks)])
        return np.cumsum(padded), tuple(blocks)


class _Batch:
    """The arrays of a batch while it is being made."""

    def __init__(self, tokens: int, pad: int) -> None:
        self.ids = np.full(tokens, pad, dtype=np.int32)
        self.positions, self.types = np.zeros(tokens, dtype=np.int32), np.zeros(tokens, dtype=np.int32)
        self.segments = np.full(tokens, PADDING, dtype=np.int32)

    def fixed(self, places: Numbers, tokens: Sequence[int] | npt.NDArray[np.int32]) -> None:
        for offset, token in enumerate(tokens):
            self.ids[places + offset] = token

    def copy(self, places: Numbers, texts: Ragged, numbers: Numbers, lengths: Numbers) -> None:
        """Put the last `lengths` tokens of texts to their places."""
        self.ids[_spread(places, lengths)] = texts.flat[_spread(texts.starts[numbers + 1] - lengths, lengths)]


def _spread(starts: Numbers, lengths: Numbers) -> Numbers:
    """`starts[0], starts[0] + 1, ...` up to `lengths[0]` of them, then those of the next."""
    return np.repeat(starts, lengths) + _counted(lengths)


def _counted(lengths: Numbers) -> Numbers:
    """0, 1, ... up to `lengths[0]` numbers, then again for the next."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)


def rows_of(contexts: Numbers, together: int = TOGETHER) -> Numbers:
    """Where a new row of a shared-context selector begins among pairs sorted by context, and the last one's end.

    Args:
        contexts: the number of each pair's context, shape (pairs,).
        together: candidates in a row at most.
    """
    new = np.flatnonzero(np.diff(contexts, prepend=-1))
    lengths = np.diff(np.append(new, len(contexts)))
    pieces = [np.arange(start, start + length, together) for start, length in zip(new, lengths, strict=True)]
    return np.append(np.concatenate(pieces), len(contexts))


def _scored(
    blocks: Sequence[Block], at: Numbers, counts: Numbers, starts: Numbers, order: Numbers
) -> tuple[Numbers, Numbers]:
    """The places that are scored, as many in each row of a block, and whose scores they are."""
    widths = np.repeat([block.scored for block in blocks], [block.rows for block in blocks])
    scored, pairs = np.repeat(at, widths), np.full(widths.sum(), -1, dtype=np.int64)
    filled = _spread(np.cumsum(widths) - widths, counts)
    scored[filled], pairs[filled] = starts, order
    return scored, pairs
