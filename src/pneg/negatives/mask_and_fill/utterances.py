"""Which utterances are corrupted for a context, and in what order."""

from collections.abc import Iterable, Sequence

from pneg.dialogue import Dialogue, normalised
from pneg.errors import needs
from pneg.negatives.words import content_words, words

MOST = 20
FEWEST_CONTENT_WORDS = 2
RETRIEVED_LONGER_THAN = 7
"""Words: a short response that was retrieved leaves nothing to fill."""


def utterances(dialogue: Dialogue, retrieved: Iterable[str]) -> list[str]:
    """The positives, every second turn counting back from the last, what was retrieved; at most 20, none twice.

    Those with fewer than two content words come last.
    """
    distinct: dict[str, str] = {}
    for text in (*dialogue.positives, *dialogue.context[::-2], *retrieved):
        distinct.setdefault(normalised(text), text)
    poor_last = sorted(distinct.values(), key=lambda text: len(content_words(text)) < FEWEST_CONTENT_WORDS)
    return poor_last[:MOST]


class Retriever:
    """BM25 over the longer responses of a corpus; the whole context is the query.

    Args:
        responses: of the corpus.
    """

    def __init__(self, responses: Iterable[str]) -> None:
        with needs("generated"):
            import bm25s
            import Stemmer

        long = (text for text in responses if len(words(text)) > RETRIEVED_LONGER_THAN)
        self.responses = list({normalised(text): text for text in long}.values())
        self.stemmer = Stemmer.Stemmer("english")
        self.index = bm25s.BM25()
        if self.responses:
            self.index.index(self._tokens(self.responses), show_progress=False)

    def retrieve(self, contexts: Sequence[Sequence[str]], most: int = MOST) -> list[list[str]]:
        """The best-ranked responses for each context, best first."""
        if not self.responses or not contexts:
            return [[] for _ in contexts]
        queries = self._tokens([" ".join(context) for context in contexts])
        found, scores = self.index.retrieve(queries, k=min(most, len(self.responses)), show_progress=False)
        return [
            [self.responses[number] for number, score in zip(row, of, strict=True) if score > 0]
            for row, of in zip(found.tolist(), scores.tolist(), strict=True)
        ]

    def _tokens(self, texts: Sequence[str]) -> list[list[str]]:
        import bm25s

        found = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=self.stemmer, return_ids=False, show_progress=False
        )
        return list(found)
