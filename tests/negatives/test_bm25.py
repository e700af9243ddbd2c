"""BM25 negatives: which response comes first, which is refused, and that the index on disk gives the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from pneg import Dialogue
from pneg.errors import DataError
from pneg.negatives import BM25
from pneg.negatives import bm25 as module

pytest.importorskip("bm25s", reason="BM25 negatives need bm25s")

POOL = [
    Dialogue("a", ("Do you like swimming in the lake?",), ("I love swimming.", "The lake is too cold.")),
    Dialogue("b", ("Where did you swim?",), ("We swam in a lake, a cold lake.", "In the lake")),
    Dialogue("c", ("What is for dinner?",), ("Pasta with tomatoes.", "in the lake!")),
    Dialogue("d", ("?",), ("The.",)),
]
ASKED = Dialogue("q", ("Hello.", "The lakes are cold, is it not?"), ("We are cold.",))


def test_the_response_that_shares_the_rarest_words_comes_first_as_stems_without_stop_words() -> None:
    """`lakes` and `cold` count, as `lake` and `cold`; `the`, `is`, `it` and `are` do not.

    Both words are in "The lake is too cold." (3 words) and in "We swam in a lake, a cold lake." (5, `lake` twice).
    idf of lake is ln(1 + 3.5 / 4.5) = .575, in 4 of 7 responses, of cold ln(1 + 5.5 / 2.5) = 1.163, in 2; the mean
    length is 14 / 7 = 2 words, k1 = 1.5, b = .75. So the first gets 1.738 / (1 + 1.5 x 1.375) = .568, the second
    1.163 / (1 + 1.5 x 2.125) + 2 x .575 / (2 + 1.5 x 2.125) = .500, a lake alone .575 / (1 + 1.5 x .625) = .297.
    """
    [found] = BM25(POOL).propose([ASKED], 3)
    assert found == ("The lake is too cold.", "We swam in a lake, a cold lake.", "In the lake")


def test_own_positives_and_repeats_are_refused_and_what_shares_no_word_is_not_taken() -> None:
    own = Dialogue("q", ("The lake, the cold lake!",), ("THE LAKE is  too cold",))
    source = BM25(POOL)
    assert list(source.propose([own], 5)) == [("We swam in a lake, a cold lake.", "In the lake")]
    assert source.counts == {"copy of a positive": 1, "duplicate": 1, "too few": 3}


def test_the_whole_context_is_the_query() -> None:
    long = Dialogue("q", ("Tomatoes!", *["Hm."] * 50, "Swimming?"), ("Yes.",))
    [found] = BM25(POOL).propose([long], 2)
    assert set(found) == {"Pasta with tomatoes.", "I love swimming."}


@pytest.mark.parametrize("pool", [[], [Dialogue("d", ("x",), ("The.",))]], ids=["no response", "stop words alone"])
def test_a_pool_without_words_gives_nothing_and_says_so(pool: list[Dialogue]) -> None:
    source = BM25(pool)
    assert list(source.propose([ASKED, ASKED], 2)) == [(), ()]
    assert source.counts == {"too few": 4}


def test_a_context_of_stop_words_gives_nothing() -> None:
    assert list(BM25(POOL).propose([Dialogue("q", ("It is the.",), ("x",))], 2)) == [()]


def test_where_all_that_was_ranked_at_first_is_refused_the_rest_is_ranked() -> None:
    own = Dialogue("q", ("cold lake",), tuple(f"cold lake {'lake ' * n}" for n in range(module.DEPTH)))
    source = BM25([own, Dialogue("o", ("x",), ("A lake, a boat.",))])
    assert list(source.propose([own], 2)) == [("A lake, a boat.",)]
    assert source.counts == {"copy of a positive": module.DEPTH, "too few": 1}


def test_of_many_equal_scores_the_first_of_the_corpus_come_first() -> None:
    pool = [Dialogue(str(n), ("x",), (f"lake number{n}",)) for n in range(2 * module.DEPTH)]
    [found] = BM25(pool).propose([ASKED], 3)
    assert found == ("lake number0", "lake number1", "lake number2")


def test_a_response_of_several_dialogues_is_one_document() -> None:
    source = BM25([*POOL, *POOL])
    assert list(source.propose([ASKED], 3)) == list(BM25(POOL).propose([ASKED], 3))
    assert source.counts == {}


def test_the_scores_are_those_of_bm25s_on_many_contexts() -> None:
    import bm25s
    import Stemmer

    from pneg import corpora

    pool = list(corpora.read("starter:test"))
    responses = list(dict.fromkeys(text for dialogue in pool for text in dialogue.positives))
    stemmer = Stemmer.Stemmer("english")
    peer = bm25s.BM25()
    peer.index(bm25s.tokenize(responses, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    contexts = [" ".join(dialogue.context) for dialogue in pool]
    asked = bm25s.tokenize(contexts, stopwords="en", stemmer=stemmer, show_progress=False)
    numbers, scores = peer.retrieve(asked, k=20, show_progress=False)
    for dialogue, found, by, worth in zip(pool, BM25(pool).propose(pool, 5), numbers, scores, strict=True):
        score = dict(zip((responses[number] for number in by), worth, strict=True))
        expected = [value for text, value in score.items() if text not in dialogue.positives and value > 0]
        assert [score[text] for text in found] == pytest.approx(sorted(expected, reverse=True)[: len(found)])


def test_an_index_on_disk_gives_the_same_and_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index"
    expected = list(BM25(POOL).propose(POOL, 5))
    assert list(BM25(POOL, folder).propose(POOL, 5)) == expected
    monkeypatch.setattr(module, "_built", None)
    kept = BM25(POOL, folder)
    assert list(kept.propose(POOL, 5)) == expected
    assert isinstance(kept._scores.indices.base, np.memmap | np.ndarray)
    assert _mapped(kept._scores.data) and _mapped(kept._scores.indices)


def _mapped(array: object) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def test_an_index_of_other_responses_is_refused(tmp_path: Path) -> None:
    BM25(POOL, tmp_path / "index")
    with pytest.raises(DataError, match="index of other responses"):
        BM25(POOL[:2], tmp_path / "index")
    with pytest.raises(DataError, match="index of other responses"):  # as many as before
        BM25([*POOL[:3], Dialogue("d", ("?",), ("A.",))], tmp_path / "index")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="holds no index"):
        BM25(POOL, tmp_path / "other")
    assert json.loads((tmp_path / "index" / "about.json").read_text())["responses"] == 7


@pytest.mark.parametrize("content", [None, b"", b"no numbers"])
@pytest.mark.parametrize("name", ["about.json", "data.npy", "indptr.npy", "words.json"])
def test_a_damaged_index_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    BM25(POOL, tmp_path / "index")
    file = tmp_path / "index" / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(
        DataError, match=r"index: (the index is damaged: .*; delete the folder|it is there and holds)"
    ):
        BM25(POOL, tmp_path / "index")
