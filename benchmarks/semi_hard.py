"""Embedding and searching for semi-hard negatives, beside SentenceTransformer.encode; memory at 10^6 responses.

`--vectors N` measures memory, and the search, on N responses with made vectors.
"""

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import common
from pneg import models
from pneg.dialogue import Dialogue
from pneg.negatives import SemiHard
from pneg.negatives.embeddings import Embeddings

ENCODER = "minilm-l6"
QUERIES, DIMENSIONS = 512, 384


def main() -> None:
    """Measure and print."""
    parser = common.arguments(__doc__, limit=1024, rounds=1)
    parser.add_argument("--alone", action="store_true", help="only the default precision, without the peer")
    parser.add_argument("--vectors", type=int, metavar="N", help="measure memory on this many made vectors")
    options = parser.parse_args()
    if options.vectors:
        return _memory(options.vectors)
    common.quiet()
    chosen = common.sample(common.dialogues(options.data, "data_positives.json"), options.limit)
    texts = list(dict.fromkeys(text for item in chosen for text in item.positives))
    contenders: dict[str, Callable[[int], tuple[float, float]]] = {
        "pneg, default precision": lambda _: _pneg(chosen, "auto")
    }
    if not options.alone:
        peer = _peer()
        contenders["pneg, float32"] = lambda _: _pneg(chosen, "float32")
        contenders["SentenceTransformer.encode"] = lambda _: _encode(peer, texts)
    found = common.interleaved(contenders, options.rounds)
    rows = [["", "texts/s", "embedding, s", "searching, s", "search / embedding"]]
    for name, values in found.items():
        embedding, searching = (median(column) for column in zip(*values, strict=True))
        share = f"{searching / embedding:.1%}" if searching else ""
        rows.append([name, f"{len(texts) / embedding:,.0f}", f"{embedding:.1f}", f"{searching:.2f}", share])
    common.show(
        rows,
        f"{len(chosen)} dialogues with {len(texts)} distinct responses; the search is all of `propose`: 5 negatives "
        f"for each dialogue, most similar to the first positive. Median of {options.rounds} interleaved rounds.",
        "torch", "sentence-transformers",
    )  # fmt: skip


def _pneg(chosen: list[Dialogue], precision: str) -> tuple[float, float]:
    with TemporaryDirectory() as folder:
        embeddings = Embeddings(ENCODER, precision=precision)
        embeddings.file = Path(folder) / "embeddings.sqlite"
        embeddings._embed(["Warm up."])
        started = time.perf_counter()
        source = SemiHard(chosen, embeddings=embeddings)
        embedded = time.perf_counter()
        for _ in source.propose(chosen, 5):
            pass
        return embedded - started, time.perf_counter() - embedded


def _peer() -> Any:
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(models.local_folder(ENCODER)), device="cpu")
    peer.encode(["Warm up."])
    return peer


def _encode(peer: Any, texts: list[str]) -> tuple[float, float]:
    started = time.perf_counter()
    peer.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    return time.perf_counter() - started, 0.0


class _Made(Embeddings):
    """Random unit vectors, as many as texts."""

    def __init__(self) -> None:
        self.device, self._generator = "cpu", np.random.default_rng(0)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        for start in range(0, len(texts), 65536):
            part = vectors[start : start + 65536]
            self._generator.standard_normal(out=part, dtype=np.float32)
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        return vectors


def _memory(count: int) -> None:
    def dialogues(number: int) -> Iterator[Dialogue]:
        for n in range(number):
            yield Dialogue(str(n), ("x",), tuple(f"I will come at {5 * n + place} o'clock." for place in range(5)))

    source = SemiHard(dialogues(count // 5), embeddings=_Made())
    held = _peak()
    started = time.perf_counter()
    n = sum(1 for _ in source.propose(dialogues(QUERIES), 5))
    seconds = time.perf_counter() - started
    rows = [["responses", "dialogues/s", "peak MB before the search", "peak MB"]]
    rows.append([f"{count:,}", f"{n / seconds:.1f}", f"{held:,.0f}", f"{_peak():,.0f}"])
    common.show(
        rows,
        f"The source, with made vectors of {DIMENSIONS} dimensions for embeddings; {n} dialogues searched for.",
        "torch", "numpy",
    )  # fmt: skip


def _peak() -> float:
    """MB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
