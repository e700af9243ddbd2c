"""The key that requests must carry, if one is asked for."""

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from pneg.errors import DataError


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its digest alone, so that no log, traceback or dump can show it.

    Attributes:
        digest: SHA-256 of the key's bytes.
    """

    digest: bytes = field(repr=False)

    @classmethod
    def from_variable(cls, name: str) -> "Key":
        """The key in an environment variable.

        Raises:
            DataError: when it is not set, or blank.
        """
        return cls._of(os.environ.get(name, ""), f"the environment variable {name}")

    @classmethod
    def from_file(cls, file: Path) -> "Key":
        """The key in a file, without space around it.

        Raises:
            DataError: when it cannot be read, or is blank.
        """
        try:
            return cls._of(file.read_text(encoding="utf-8"), f"the file {file}")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"the key cannot be read: {getattr(error, 'strerror', 'no UTF-8')}", file=file) from None

    @classmethod
    def _of(cls, text: str, place: str) -> "Key":
        if not text.strip():
            raise DataError(f"{place} holds no key", "put one there, or leave the option out to ask for none")
        return cls(_digest(text.strip().encode(errors="surrogateescape")))

    def opens(self, authorization: str | None) -> bool:
        """Whether a header `Authorization` carries the key; takes as long for a wrong key as for the right one.

        Args:
            authorization: as Starlette gives it, bytes read as Latin-1.
        """
        scheme, _, given = (authorization or "").partition(" ")
        same = hmac.compare_digest(_digest(given.strip().encode("latin-1", "replace")), self.digest)
        return same and scheme.lower() == "bearer"
