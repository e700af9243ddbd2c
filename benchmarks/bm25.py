"""Contexts a second that BM25 retrieves negatives for on the processor, beside bm25s and rank-bm25.

The whole context against all distinct responses of the corpus, with stop words and stems, tokenising included.
"""

import time
from statistics import median

import common
from pneg.dialogue import Dialogue
from pneg.negatives import BM25

COUNT = 5
SAMPLE = 20
"""Contexts for rank-bm25, which goes through every response for each word."""


def main() -> None:
    """Measure and print."""
    options = common.arguments(__doc__, limit=7641, rounds=3).parse_args()
    every = common.dialogues(options.data, "data_positives.json")
    chosen = every[: options.limit]
    responses = list(dict.fromkeys(text for item in every for text in item.positives))
    contenders = {
        "pneg, indexing included": lambda _: _pneg(every, chosen, True),
        "pneg": lambda _: _pneg(every, chosen, False),
        "bm25s": lambda _: _bm25s(responses, chosen, 0),
        "bm25s, n_threads=-1": lambda _: _bm25s(responses, chosen, -1),
        f"rank-bm25, {SAMPLE} contexts": lambda _: _rank_bm25(responses, chosen[:SAMPLE]),
    }
    found = common.interleaved(contenders, options.rounds)
    peer = median(found["bm25s"])
    rows = [["", "contexts/s", "lowest-highest", "of bm25s"]]
    for name, rates in found.items():
        rows.append([name, f"{median(rates):,.1f}", common.spread(rates), f"{median(rates) / peer:.2f}x"])
    common.show(
        rows,
        f"{len(chosen)} contexts against {len(responses)} distinct responses, {COUNT} negatives each, median of "
        f"{options.rounds} interleaved rounds. All tokenise the contexts; pneg also refuses own positives "
        "and repeats; the peers give the best 15 as they are.",
        "bm25s", "PyStemmer", "rank-bm25", "scipy", "numpy",
    )  # fmt: skip


def _pneg(every: list[Dialogue], chosen: list[Dialogue], indexing: bool) -> float:
    started = time.perf_counter()
    source = BM25(every)
    if not indexing:
        started = time.perf_counter()
    for _ in source.propose(chosen, COUNT):
        pass
    return len(chosen) / (time.perf_counter() - started)


def _bm25s(responses: list[str], chosen: list[Dialogue], threads: int) -> float:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    peer = bm25s.BM25()
    peer.index(bm25s.tokenize(responses, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    started = time.perf_counter()
    contexts = [" ".join(item.context) for item in chosen]
    asked = bm25s.tokenize(contexts, stopwords="en", stemmer=stemmer, show_progress=False)
    peer.retrieve(asked, k=min(15, len(responses)), n_threads=threads, show_progress=False)
    return len(chosen) / (time.perf_counter() - started)


def _rank_bm25(responses: list[str], chosen: list[Dialogue]) -> float:
    import bm25s
    import Stemmer
    from rank_bm25 import BM25Okapi

    def words(texts: list[str]) -> list[list[str]]:
        stemmer = Stemmer.Stemmer("english")
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False, return_ids=False)

    peer = BM25Okapi(words(responses))
    started = time.perf_counter()
    for asked in words([" ".join(item.context) for item in chosen]):
        peer.get_top_n(asked, responses, n=15)
    return len(chosen) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
