"""BM25 negatives: the responses that share most words with the context."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg import cache
from pneg.dialogue import Dialogue
from pneg.errors import DataError, needs
from pneg.negatives.base import Refusals, choose
from pneg.negatives.texts import Texts

BLOCK = 1024
"""Dialogues read at a time."""
CELLS = 4_000_000
"""At most so many scores (contexts x responses) are held by a thread at a time."""
ROWS = 64
"""Contexts scored by a thread at a time, at most."""
DEPTH = 64
"""Responses ranked for a context at first; more where all of these are refused."""

Numbers = npt.NDArray[np.int64]


class BM25:
    """The responses of a corpus that BM25 ranks first for the whole context, less the dialogue's own.

    The scores are those of `bm25s` (Lucene's variant, k1 1.5, b 0.75), with its English stop words and the Porter
    stemmer of `PyStemmer`; of equal scores the response that comes first in the corpus goes first. What shares no
    word with the context is not taken.

    Args:
        pool: the corpus to retrieve from: all its distinct positives.
        index: a folder that keeps the index and from which it is mapped into memory; made where it is not there.
        threads: that score contexts; all cores by default.

    Raises:
        DataError: when `index` holds the index of other responses, or a damaged one.
        MissingExtra: without `bm25s`, `PyStemmer` and `scipy`.
    """

    name = "bm25"

    def __init__(self, pool: Iterable[Dialogue], index: Path | str | None = None, threads: int | None = None) -> None:
        self.responses = Texts(dict.fromkeys(response for dialogue in pool for response in dialogue.positives))
        self.threads = threads or os.cpu_count() or 1
        self.counts: Counter[str] = Counter()
        with needs("retrieval"):
            self._tokenizer = _tokenizer()
            self._scores = _built(self._tokenizer, self.responses) if index is None else self._kept(Path(index))

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give the `count` best-ranked responses for each dialogue; fewer only where no others share a word."""
        remaining = iter(dialogues)
        with ThreadPoolExecutor(self.threads) as threads:
            while block := list(islice(remaining, BLOCK)):
                tokens = self._tokens(block)
                rows = max(1, min(ROWS, CELLS // max(1, len(self.responses))))
                parts = [tokens[start : start + rows] for start in range(0, len(tokens), rows)]
                ranked = chain.from_iterable(threads.map(self._ranked, parts))
                for dialogue, words, first in zip(block, tokens, ranked, strict=True):
                    candidates = self._candidates(words, first)
                    yield choose(candidates, count, Refusals.of(dialogue), self.counts)

    def _tokens(self, block: Sequence[Dialogue]) -> list[list[int]]:
        texts = [" ".join(dialogue.context) for dialogue in block]
        found: list[list[int]] = self._tokenizer.tokenize(
            texts, update_vocab=False, allow_empty=False, show_progress=False
        )
        return found

    def _candidates(self, words: list[int], first: Numbers) -> Iterator[str]:
        yield from map(self.responses.__getitem__, first)
        if len(first) == DEPTH:
            [every] = self._ranked([words], len(self.responses))
            yield from map(self.responses.__getitem__, every[DEPTH:])

    def _ranked(self, tokens: Sequence[Sequence[int]], depth: int = DEPTH) -> list[Numbers]:
        """The numbers of the best responses for each query, best first, at most `depth`."""
        from scipy.sparse import csr_array

        starts = np.cumsum([0, *map(len, tokens)])
        words = np.fromiter(chain.from_iterable(tokens), np.int32, starts[-1])
        queries = csr_array(
            (np.ones(len(words), np.float32), words, starts), shape=(len(tokens), self._scores.shape[0])
        )
        found = queries @ self._scores
        return [
            _best(found.data[start:end], found.indices[start:end], depth)
            for start, end in zip(found.indptr[:-1], found.indptr[1:], strict=True)
        ]

    def _kept(self, folder: Path) -> Any:
        """The index in `folder`, mapped into memory; made there first where there is none."""
        import bm25s

        about = {"bm25s": bm25s.__version__, "responses": len(self.responses), "sha256": _digest(self.responses)}
        if not folder.exists():
            with cache.locked(folder.absolute()):
                if not folder.exists():
                    with cache.scratch(folder.absolute().parent) as made:
                        _save(made, self._tokenizer, _built(self._tokenizer, self.responses), about)
                        made.rename(folder)
        file = folder / "about.json"
        if not file.is_file():
            raise DataError("it is there and holds no index", "choose another folder", file=folder)
        try:
            same = json.loads(file.read_text(encoding="utf-8")) == about
            scores = _load(folder, self._tokenizer) if same else None
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"the index is damaged: {error}", "delete the folder", file=folder) from error
        if not same:
            raise DataError(
                "it holds the index of other responses or of another bm25s",
                "choose another folder, or delete this one",
                file=folder,
            )
        return scores


def _tokenizer() -> Any:
    import Stemmer
    from bm25s.tokenization import Tokenizer

    return Tokenizer(stopwords="en", stemmer=Stemmer.Stemmer("english"))


def _built(tokenizer: Any, responses: Texts) -> Any:
    """The scores of each word in each response, shape (words, responses), sparse."""
    import bm25s
    from scipy.sparse import csr_array

    tokens = tokenizer.tokenize(
        iter(responses), update_vocab=True, allow_empty=False, show_progress=False, return_as="tuple",
        length=len(responses),
    )  # fmt: skip
    if not tokens.vocab:
        return csr_array((0, len(responses)), dtype=np.float32)
    retriever = bm25s.BM25()
    retriever.index(tokens, create_empty_token=False, show_progress=False)
    found = retriever.scores
    return _matrix(found["data"], found["indices"], found["indptr"], len(responses))


def _matrix(data: Any, indices: Any, starts: Any, responses: int) -> Any:
    from scipy.sparse import csr_array

    return csr_array((data, indices, starts), shape=(len(starts) - 1, responses), copy=False)


def _save(folder: Path, tokenizer: Any, scores: Any, about: dict[str, Any]) -> None:
    for part in ("data", "indices", "indptr"):
        np.save(folder / f"{part}.npy", getattr(scores, part))
    tokenizer.save_vocab(folder, "words.json")
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _load(folder: Path, tokenizer: Any) -> Any:
    tokenizer.load_vocab(folder, "words.json")
    data, indices, starts = (np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("data", "indices", "indptr"))
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return _matrix(data, indices, starts, about["responses"])


def _digest(responses: Texts) -> str:
    found = hashlib.sha256()
    for text in responses:
        found.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return found.hexdigest()


def _best(scores: npt.NDArray[np.float32], numbers: npt.NDArray[np.int32], depth: int) -> Numbers:
    """The numbers with the highest scores, best first, the lower number first where scores are equal."""
    if len(scores) > depth:
        least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        chosen = np.flatnonzero(scores >= least)
        scores, numbers = scores[chosen], numbers[chosen]
    return numbers[np.lexsort((numbers, -scores))[:depth]].astype(np.int64)
