"""A file with bytes changed or cut off is read or refused; nothing else may come of it, in whatever form it is."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pneg import Dialogue, corpora, write
from pneg.errors import DataError

TEXT = b"Can you do push-ups ? __eou__ Of course I can . __eou__ Really ? __eou__\n" * 20


def zipped(_: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dialogues_test.txt", TEXT)
    return made.getvalue()


def parquet(folder: Path) -> bytes:
    write(folder / "whole.parquet", [Dialogue(str(n), ("a", "b"), ("c",), {"human": ("d",)}) for n in range(5)])
    return (folder / "whole.parquet").read_bytes()


def chitchat(_: Path) -> bytes:
    return json.dumps({"a": {"messages": [[{"text": "one two three"}]] * 6}}).encode()


FORMS = {"x.zip": zipped, "x.jsonl.gz": lambda _: gzip.compress(TEXT), "x.parquet": parquet, "x.json": chitchat}


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_broken_file_is_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    text = bytearray(FORMS[name](tmp_path))
    places = st.integers(0, len(text) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=3)):
        text[place] = byte
    del text[data.draw(st.one_of(st.just(len(text)), places)) :]
    (tmp_path / name).write_bytes(text)
    try:
        assert all(isinstance(found, Dialogue) for found in corpora.read(tmp_path / name))
    except DataError as error:
        assert str(error).startswith(str(tmp_path / name))
