"""Options that give a count to each of several names."""

import click
import pytest

from pneg.cli.options import Counts


def test_counts_are_read_by_name_in_their_order() -> None:
    assert list(Counts().convert(" random=5, bm25 = 3,", None, None).items()) == [("random", 5), ("bm25", 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bm25", "'bm25' is no count of a source; expected SOURCE=N"),
        ("bm25=0", "'bm25=0' is no count"),
        ("=3", "'=3' is no count"),
        ("bm25=3.5", "'bm25=3.5' is no count"),
        ("bm25=3,bm25=4", "bm25 is named twice"),
        (" , ", "names nothing"),
    ],
)
def test_what_is_no_count_is_refused(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        Counts().convert(text, None, None)
