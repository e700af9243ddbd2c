"""Corpora: each reader gives the same iterator of `Dialogue` as a file of ours does."""

from collections.abc import Iterator
from pathlib import Path

from pneg import dialogue
from pneg.corpora import chitchat, dailydialog, dailydialog_pp, fetch, personachat, starter
from pneg.dialogue import Dialogue, OnBad
from pneg.errors import DataError

__all__ = ["fetch", "located", "read"]


def read(source: str | Path, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
    """Read dialogues lazily, whatever form they come in.

    Args:
        source: a file (our JSON lines or Parquet, or one of DailyDialog++, DailyDialog, PersonaChat, chitchat as
            published; the form is found from the contents, in a pipe too), or the name of a corpus:
            `starter:demonstrations`, `starter:test`, `chitchat`, or what `pneg fetch` has stored, as in
            `dailydialog++:dev`.
        on_bad: called for each bad line, which is then left out; without it a bad line raises.

    Raises:
        DataError: when there is no such file or corpus, or for a bad line, naming file and line.
    """
    path = located(source)
    return _reader(path)(path, on_bad)


def located(source: str | Path) -> Path:
    """The file that a path or the name of a corpus stands for.

    Raises:
        DataError: when there is no such file or corpus.
    """
    path = Path(source)
    try:
        path.stat()
    except FileNotFoundError:
        name, _, split = str(source).partition(":")
        if name == "starter":
            return starter.file(split)
        if name in fetch.CORPORA:
            return fetch.stored_file(name, split)
        names = ", ".join(("starter", *fetch.CORPORA))
        raise DataError(
            "there is no such file", f"check the path, or name a corpus: {names}", file=str(source)
        ) from None
    except (OSError, ValueError):
        pass  # opening it says what is wrong
    return path


def _reader(path: Path) -> dialogue.Reader:
    if dialogue.is_parquet(path):
        return dialogue.read
    if dailydialog.is_zip(path):
        return dailydialog.read
    if chitchat.recognises(dialogue.beginning(path, chitchat.SEEN)):
        return chitchat.read
    _, first = next(dialogue.lines(path), (0, b""))
    if dailydialog_pp.recognises(first):
        return dailydialog_pp.read
    if personachat.recognises(first):
        return personachat.read
    return dailydialog.read if dailydialog.recognises(first) else dialogue.read
