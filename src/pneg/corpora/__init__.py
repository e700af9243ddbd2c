"""Corpora: each reader gives the same iterator of `Dialogue` as a file of ours does."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from pneg import dialogue
from pneg.corpora import chitchat, dailydialog, dailydialog_pp, fetch, personachat, starter
from pneg.dialogue import Dialogue, OnBad
from pneg.errors import DataError

__all__ = ["fetch", "read"]


def read(source: str | Path, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
    """Read dialogues lazily, whatever form they come in.

    Args:
        source: a file (our JSON lines or Parquet, or one of DailyDialog++, DailyDialog, PersonaChat, chitchat as
            published; the form is found from the contents), or the name of a corpus: `starter:demonstrations`,
            `starter:test`, `chitchat`, or what `pneg fetch` has stored, as in `dailydialog++:dev`.
        on_bad: called for each bad line, which is then left out; without it a bad line raises.

    Raises:
        DataError: when there is no such file or corpus, or for a bad line, naming file and line.
    """
    path = Path(source)
    if not path.exists():
        name, _, split = str(source).partition(":")
        if name == "starter":
            path = starter.file(split)
        elif name in fetch.CORPORA:
            path = fetch.stored_file(name, split)
        else:
            names = ", ".join(("starter", *fetch.CORPORA))
            raise DataError("there is no such file", f"check the path, or name a corpus: {names}", file=str(source))
    if path.is_dir():
        raise DataError("it is a folder", "name a file in it", file=path)
    return _reader(path)(path, on_bad)


def _reader(path: Path) -> dialogue.Reader:
    if path.suffix == ".parquet":
        return dialogue.read
    if zipfile.is_zipfile(path):
        return dailydialog.read
    if path.suffix == ".json" and chitchat.recognises(path):
        return chitchat.read
    _, first = next(dialogue.lines(path), (0, b""))
    if dailydialog_pp.recognises(first):
        return dailydialog_pp.read
    if personachat.recognises(first):
        return personachat.read
    return dailydialog.read if dailydialog.recognises(first) else dialogue.read
