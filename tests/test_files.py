"""Opening what is read, claiming what is written, and outputs that appear whole or not at all."""

import errno
import gzip
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pneg import files
from pneg.errors import DataError, PnegError
from pneg.files import Named, check_output, claim, flows, forget, opened, replacing


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    yield
    forget()


@contextmanager
def fed(path: Path, *chunks: bytes | threading.Event) -> Iterator[Path]:
    """A FIFO that gets the chunks, each event when it has come."""
    os.mkfifo(path)

    def feed() -> None:
        with path.open("wb", buffering=0) as stream:
            for chunk in chunks:
                if isinstance(chunk, threading.Event):
                    assert chunk.wait(60)
                else:
                    stream.write(chunk)

    thread = threading.Thread(target=feed)
    thread.start()
    yield path
    thread.join()


def test_a_pipe_is_read_as_often_as_a_file_and_from_any_place(tmp_path: Path) -> None:
    text = bytes(range(256)) * 1000
    with fed(tmp_path / "pipe", text[:7], text[7:]) as pipe:
        with opened(pipe) as first:
            assert first.read(5) == text[:5]
        with opened(pipe) as second, opened(pipe) as third:
            assert third.read(100_000) == text[:100_000]
            assert second.read() == text
            assert third.read() == text[100_000:]
            assert third.seek(-10, os.SEEK_END) == len(text) - 10
            assert third.read() == text[-10:]
            assert second.seek(3) == 3
            assert second.read(4) == text[3:7]


def test_what_has_come_through_a_pipe_is_given_before_the_rest_comes(tmp_path: Path) -> None:
    more = threading.Event()
    with fed(tmp_path / "pipe", b"one\n", more, b"two\n") as pipe, opened(pipe) as stream:
        assert stream.readline() == b"one\n"
        more.set()
        assert stream.readlines() == [b"two\n"]


def test_a_pipe_is_the_same_one_under_each_of_its_names_until_it_is_forgotten(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"text")
        os.close(writing)
        for _ in range(2):
            with opened(Path(f"/dev/fd/{reading}")) as stream:
                assert stream.read() == b"text"
        forget()
        with opened(Path(f"/dev/fd/{reading}")) as stream:
            assert stream.read() == b""
    finally:
        os.close(reading)


def test_only_what_gives_its_bytes_once_flows(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    given = {name: flows(tmp_path / name) for name in ("pipe", "file", ".", "nowhere")}
    assert given == {"pipe": True, "file": False, ".": False, "nowhere": False}


def test_a_pipe_that_does_not_fit_on_the_disk_is_named_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    monkeypatch.setattr(files.tempfile, "TemporaryFile", lambda: full.open("r+b", buffering=0))
    with fed(tmp_path / "pipe", b"text") as pipe, opened(pipe) as stream, pytest.raises(PnegError) as caught:
        stream.read(1)
    assert str(caught.value).startswith(f"{pipe}: it gives its bytes only once, and there is no room to keep them")
    assert "No space left on device" in str(caught.value) and "set TMPDIR" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere", "there is no such file; check the path"),
        (".", "it is a folder; name a file in it"),
        ("file/below", "it cannot be read: Not a directory; check the path"),
        ("loop", "it cannot be read: Too many levels of symbolic links; check the path"),
        ("x" * 300, "it cannot be read: File name too long; check the path"),
        ("a\0b", "it cannot be read: embedded null byte; check the path"),
    ],
)
def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError) as caught, opened(tmp_path / name):
        pass
    assert str(caught.value) == f"{tmp_path / name}: {says}"


def same(_: Path) -> str:
    return "a"


def spelled(folder: Path) -> str:
    (folder / "sub").mkdir()
    return "sub/../a"


def symbolic(folder: Path) -> str:
    (folder / "link").symlink_to("a")
    return "link"


def hard(folder: Path) -> str:
    (folder / "a").touch()
    (folder / "link").hardlink_to(folder / "a")
    return "link"


def below_a_linked_folder(folder: Path) -> str:
    (folder / "linked").symlink_to(folder)
    return "linked/a"


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("other", [same, spelled, symbolic, hard, below_a_linked_folder])
@pytest.mark.parametrize("uses", [("read", "write"), ("read", "keep"), ("write", "keep"), ("keep", "keep")])
def test_no_two_paths_are_the_same_file_whatever_they_are_called(
    tmp_path: Path, there: bool, other: Callable[[Path], str], uses: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if there:
        (tmp_path / "a").touch()
    one = Named("IN", tmp_path / "a", uses[0])
    two = Named("--log", Path(other(tmp_path)), uses[1])
    for force in (True, False):
        with pytest.raises(DataError) as caught:
            claim([one, two], force=force)
        assert str(caught.value) == f"{two.path}: IN and --log are the same file; give each a path of its own"


def test_what_is_only_read_may_be_given_twice_and_other_files_may_be_alike(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    claim([Named("IN", tmp_path / "a", "read"), Named("--corpus", tmp_path / "a", "read")])
    claim([Named("IN", tmp_path / "a", "read"), Named("--log", tmp_path / "b", "keep")])
    claim([Named("IN", Path("/dev/null"), "read"), Named("--log", Path("/dev/null"), "keep")])


@pytest.mark.parametrize("kind", ["file", "link", "link to nothing"])
def test_what_is_there_is_replaced_only_with_force(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind != "link to nothing":
        (tmp_path / "file").touch()
    out.hardlink_to(tmp_path / "file") if kind == "file" else out.symlink_to("file")
    with pytest.raises(DataError, match="it is there already; choose another output, or add --force to replace it"):
        claim([Named("--out", out, "write")])
    claim([Named("--out", out, "write")], force=True)
    claim([Named("--log", out, "keep")])


def test_a_folder_that_is_replaced_holds_no_input_and_nothing_at_all_without_force(tmp_path: Path) -> None:
    out = Named("--out", tmp_path / "new" / "out", "write", folder=True)
    claim([out])
    out.path.mkdir(parents=True)
    claim([out])
    (out.path / "test.jsonl").touch()
    with pytest.raises(DataError, match="it is there already"):
        claim([out])
    claim([out], force=True)
    with pytest.raises(DataError, match="--test lies in the folder --out, which is replaced"):
        claim([out, Named("--test", out.path / "test.jsonl", "read")], force=True)
    with pytest.raises(DataError, match="it is a file; name a folder"):
        claim([Named("--out", out.path / "test.jsonl", "write", folder=True)], force=True)
    with pytest.raises(DataError, match="there is no folder"):
        claim([Named("--out", out.path / "test.jsonl" / "x", "write", folder=True)])


@pytest.mark.parametrize(
    ("name", "endings", "says"),
    [
        ("out.txt", (".jsonl",), "out.txt has an unknown ending; expected .jsonl"),
        ("out", (".jsonl", ".gz"), "out has an unknown ending; expected .jsonl or .gz"),
        ("nowhere/out", (), "there is no folder {folder}/nowhere; make it first"),
        (".", (".jsonl",), "it is a folder; name a file"),
        ("x" * 300, (), "it cannot be used: File name too long; check the path"),
        ("a\0b", (), "it cannot be used: embedded null byte; check the path"),
    ],
)
def test_an_output_that_cannot_be_is_named(tmp_path: Path, name: str, endings: tuple[str, ...], says: str) -> None:
    with pytest.raises(DataError) as caught:
        claim([Named("--out", tmp_path / name, "write", endings=endings)])
    assert str(caught.value) == f"{tmp_path / name}: {says.format(folder=tmp_path)}"


@pytest.mark.parametrize("folder", [True, False])
def test_an_output_in_a_folder_without_permission_is_refused(
    tmp_path: Path, folder: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "access", lambda path, mode: Path(path) != tmp_path)  # root may do everything
    with pytest.raises(DataError, match=f"the folder {tmp_path} may not be written to"):
        check_output(tmp_path / "out", folder=folder)


def test_the_longest_name_that_is_allowed_can_be_written(tmp_path: Path) -> None:
    out = tmp_path / ("x" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    with replacing(out) as stream:
        stream.write(b"text")
    assert out.read_bytes() == b"text"


@pytest.mark.parametrize("kind", ["no room while it is written", "no room at its end", "no folder"])
def test_an_output_that_cannot_be_written_is_called_by_the_name_it_was_given(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "out.jsonl"
    if kind == "no folder":
        out = tmp_path / "nowhere" / "out.jsonl"
    elif kind == "no room at its end":
        monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError) as caught, replacing(out) as stream:
        stream.write(b"text")
        if kind == "no room while it is written":
            fail()
    assert caught.value.filename == str(out)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_that_is_not_the_outputs_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "out"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")
    with pytest.raises(ConnectionError) as refused, replacing(tmp_path / "out"):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert refused.value.filename is None


def test_gzip_is_known_by_its_first_bytes_where_a_pipe_has_no_ending(tmp_path: Path) -> None:
    from pneg.dialogue import lines

    packed = gzip.compress(b"one\ntwo\n")
    with fed(tmp_path / "pipe", packed[:1], packed[1:]) as pipe:
        assert list(lines(pipe)) == [(1, b"one"), (2, b"two")]
