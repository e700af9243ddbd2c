"""Files: the one function that opens what is read, the one that claims what is written, and whole outputs.

Everything here knows paths and bytes only; what the bytes say is the business of `dialogue` and `corpora`.
"""

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from threading import Lock
from typing import IO, Literal

from pneg.errors import DataError, PnegError

CHUNK = 1 << 16
"""Bytes that are taken from a pipe at a time: what a pipe holds."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A stream of a file's bytes that can seek; every input of every command is opened here.

    A pipe (also `/dev/fd/N`, as `<(...)` gives it), a terminal and whatever else cannot seek can be read as often as
    any file: what was read of it is kept in an unnamed temporary file until `forget`, and is read further only as far
    as somebody asks. So the first dialogue of a slow producer is there at once, and none is lost to whoever looked
    at the first bytes to know the form.

    Raises:
        DataError: when there is no such file, or it cannot be opened.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError("it is a folder", "name a file in it", file=path)
        stream = path.open("rb") if _seeks(status) else _flow(path, status).reader()
    except FileNotFoundError as error:
        raise DataError("there is no such file", "check the path", file=path) from error
    except (OSError, ValueError) as error:
        raise _unusable(path, "read", error) from error
    with stream:
        yield stream


def flows(path: Path) -> bool:
    """Whether a path is a pipe or something else that gives its bytes only once."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return False
    return not (_seeks(status) or stat.S_ISDIR(status.st_mode))


def forget() -> None:
    """Drop what was kept of pipes; a path that is read again afterwards is opened anew."""
    while _flows:
        _flows.popitem()[1].close()


def _seeks(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)


class _Flow:
    """What cannot seek, kept in an unnamed temporary file as far as it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._source = path.open("rb", buffering=0)
        self._kept = tempfile.TemporaryFile()
        self._size = 0
        self._lock = Lock()

    def reader(self) -> io.BufferedReader:
        """A new stream from the first byte on."""
        return io.BufferedReader(_FromStart(self), CHUNK)

    def at(self, start: int, count: int) -> bytes:
        """Bytes from a position on, up to `count` but as few as have come; none at the end."""
        with self._lock:
            while self._size <= start and self._more():
                pass
            self._kept.seek(start)
            return self._kept.read(min(count, max(0, self._size - start)))

    def size(self) -> int:
        """How long it is, which takes reading all of it."""
        with self._lock:
            while self._more():
                pass
            return self._size

    def close(self) -> None:
        """Let go of the pipe and of what was kept."""
        self._source.close()
        self._kept.close()

    def _more(self) -> bool:
        chunk = self._source.read(CHUNK)
        if not chunk:
            return False
        try:
            self._kept.seek(self._size)
            self._kept.write(chunk)
            self._kept.flush()
        except OSError as error:
            raise PnegError(
                f"{self.path}: it gives its bytes only once, and there is no room to keep them in "
                f"{tempfile.gettempdir()} ({error.strerror}); make room, set TMPDIR, or write them to a file first"
            ) from error
        self._size += len(chunk)
        return True


class _FromStart(io.RawIOBase):
    """A reader of a flow, with a position of its own."""

    def __init__(self, flow: _Flow) -> None:
        self._flow, self._at = flow, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        target = offset + (self._flow.size() if start is None else start)
        if target < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = target
        return target

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        given = self._flow.at(self._at, len(buffer))
        buffer[: len(given)] = given
        self._at += len(given)
        return len(given)


_flows: dict[tuple[int, int], _Flow] = {}
"""By device and inode, so that a pipe is the same one under each of its names."""


def _flow(path: Path, status: os.stat_result) -> _Flow:
    key = status.st_dev, status.st_ino
    if key not in _flows:
        _flows[key] = _Flow(path)
    return _flows[key]


def _unusable(path: Path, how: str, error: OSError | ValueError) -> DataError:
    reason = error.strerror if isinstance(error, OSError) else None
    return DataError(f"it cannot be {how}: {reason or error}", "check the path", file=path)


@dataclass(frozen=True, slots=True)
class Named:
    """A path that a command was given, or that goes with one it was given.

    Attributes:
        label: how a message calls it: `IN`, `--out`, `the bad lines`.
        path: where it is.
        use: `read`; `write`, which replaces what is there; or `keep`, which may be there and is added to or gone on
            with.
        folder: whether it is a folder; an input may be either.
        endings: what its name may end with; nothing means anything.
    """

    label: str
    path: Path
    use: Literal["read", "write", "keep"]
    folder: bool = False
    endings: tuple[str, ...] = ()


def claim(paths: Iterable[Named], *, force: bool = False) -> None:
    """Refuse the paths of a command unless it can use them all and loses nothing; every command calls it first.

    No two of them may be the same file, through whatever links and spellings, unless both are only read; no input may
    lie in a folder that is replaced; what is there already is replaced only with `force`.

    Args:
        paths: all that the command reads and writes, with the files that it makes beside them.
        force: whether what is there may be replaced.

    Raises:
        DataError: naming the path, and the other one it clashes with.
    """
    identified = [(named, _identity(named.path)) for named in paths]
    for (one, its_identity), (other, others_identity) in combinations(identified, 2):
        if one.use == other.use == "read":
            continue
        if its_identity is not None and its_identity == others_identity:
            raise DataError(
                f"{one.label} and {other.label} are the same file", "give each a path of its own", file=other.path
            )
        for outer, inner in ((one, other), (other, one)):
            if outer.use == "write" and outer.folder and _lies_in(inner.path, outer.path):
                raise DataError(
                    f"{inner.label} lies in the folder {outer.label}, which is replaced",
                    "choose another folder",
                    file=inner.path,
                )
    for named, _ in identified:
        if named.use != "read":
            check_output(named.path, named.endings, folder=named.folder)
            if named.use == "write" and not force and _is_there(named):
                raise DataError(
                    "it is there already", "choose another output, or add --force to replace it", file=named.path
                )


def _identity(path: Path) -> object:
    """What is equal for two paths to the same file, whether it is there or not; None is equal to nothing."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
            raise _unusable(path, "used", error) from error
        return os.path.realpath(path)
    # a terminal or /dev/null holds nothing that could be lost
    return None if stat.S_ISCHR(status.st_mode) else (status.st_dev, status.st_ino)


def _lies_in(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_there(named: Named) -> bool:
    if named.folder and named.path.is_dir():
        return any(named.path.iterdir())
    return os.path.lexists(named.path)  # a link to nothing is something too


def check_output(path: Path, endings: tuple[str, ...] = (), *, folder: bool = False) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Args:
        path: the output.
        endings: what its name may end with; nothing means anything.
        folder: whether it is to be a folder; those above it are made then.

    Raises:
        DataError: when its ending is unknown, its folder is not there or may not be written to, or its name is taken
            by something of another kind.
    """
    try:
        if path.is_dir() and not folder:
            raise DataError("it is a folder", "name a file", file=path)
        if endings and not path.name.endswith(endings):
            *others, last = endings
            expected = f"{', '.join(others)} or {last}" if others else last
            raise DataError(f"{path.name} has an unknown ending", f"expected {expected}", file=path)
        if folder and path.exists() and not path.is_dir():
            raise DataError("it is a file", "name a folder", file=path)
        parent = path.absolute().parent
        while folder and not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise DataError(f"there is no folder {path.parent}", "make it first", file=path)
    except (OSError, ValueError) as error:
        raise _unusable(path, "used", error) from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise DataError(f"the folder {parent} may not be written to", "choose another", file=path)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes become the file `path` when the block ends well, and vanish when it does not.

    Raises:
        OSError: with the name `path`, where there is no room for it.
    """
    try:
        # a part of the name only, as the longest that is allowed would be too long with something added
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name[:40]}-")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and (error.filename == name or (not error.filename and error.errno in FULL)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
