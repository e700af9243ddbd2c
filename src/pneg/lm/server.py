"""Where a server is, what leads to it, and what must not be shown of that."""

import base64
import os
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from pneg.errors import DataError

KEY_VARIABLE = "OPENAI_API_KEY"
SECRET = re.compile(r"key|token|secret|sig|auth|pass|code", re.I)
"""Parameters of an address whose values are not shown."""
LONG_SECRET = 8
"""Characters of a secret from which on it is masked within a word, too; a short one may well be part of others."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and what must not be shown of that.

    Args:
        url: what stands before `/completions`; may hold a user, a password and a query.
        key: the API key, if there is one.
    """

    url: str = field(repr=False)
    key: str | None = field(default=None, repr=False)

    def address(self, path: str, query: str = "") -> str:
        """The address of what lies at a path; a query of the server's own address stays the query."""
        parts = urlsplit(self.url)
        both = "&".join(filter(None, (parts.query, query)))
        return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{path}", both, ""))

    @property
    def shown(self) -> str:
        """The address as errors name it."""
        return public(self.url)

    @property
    def proxy(self) -> str | None:
        """The environment's proxy for it."""
        parts = urlsplit(self.url)
        proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        return f"http://{proxy}" if proxy and "://" not in proxy else proxy

    @property
    def proxy_variable(self) -> str:
        """The environment variable that holds its proxy, as a rule."""
        return f"{urlsplit(self.url).scheme.upper()}_PROXY"

    def masked(self, text: str) -> str:
        """A text in which the key, the password and whatever else is secret in the address are stars."""
        secrets = sorted(self._secrets(), key=len, reverse=True)
        if not secrets:
            return text
        forms = (
            re.escape(secret) if len(secret) >= LONG_SECRET else rf"(?<!\w){re.escape(secret)}(?!\w)"
            for secret in secrets
        )
        return re.sub("|".join(forms), "***", text)

    def _secrets(self) -> set[str]:
        parts = urlsplit(self.url)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        secrets = [self.key or "", unquote(password or user)]
        secrets += [value for name, value in parse_qsl(parts.query) if SECRET.search(name)]
        if password:
            secrets.append(base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
        return {form for secret in secrets if secret for form in (secret, quote(secret, safe=""))}


def is_address(text: str) -> bool:
    """Whether a text is the address of something that speaks HTTP."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises when it is no number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def public(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def usable_key(given: str | None) -> str | None:
    """The key that was given, else the environment's; None where there is none.

    Raises:
        DataError: when no header can hold it. The error does not show it.
    """
    key = given or os.environ.get(KEY_VARIABLE) or None
    if key is not None and not (key.isascii() and key.isprintable()):
        name = "the API key" if given else f"the environment variable {KEY_VARIABLE}"
        breaks = "a line break" if "\n" in key or "\r" in key else "a character that no HTTP header can hold"
        raise DataError(f"{name} holds {breaks}", "set it to the key alone, as the server's owner gave it")
    return key
