"""One exchange with a server: how much is read of an answer, and what a refusal means."""

import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import msgspec

from pneg.errors import BackendError, DataError, printable
from pneg.lm.base import TOO_LONG
from pneg.lm.server import KEY_VARIABLE, Server, is_address, public

if TYPE_CHECKING:
    import aiohttp

HINTS = {
    401: f"put the key into the environment variable {KEY_VARIABLE}",
    403: "this key may not use this model",
    404: "check --model, and that the address ends where /completions can follow, often in /v1",
    407: "the proxy wants a user and a password: put them into its address, as in http://user:password@proxy:3128",
    429: "the server limits requests; lower --concurrency or try again later",
}
SPENT = "the account has no money left; add some and give the same command again"
IS_UP = "check that the server is up"
IS_RIGHT = "check --lm and that the server is up"

REFUSED = "refused by the server"
TOO_LARGE = "answer too large"
REASONS = (
    (
        TOO_LONG,
        re.compile(r"context.?(length|size|window)|max\w*.{0,20}tokens|too (long|large)|above_max_length", re.I),
    ),
    (REFUSED, re.compile(r"content.?(management|filter|policy)|moderation|flagged|safety|usage polic", re.I)),
)
"""What servers say in the message or the code of an error that is of one request only."""

LONGEST_MESSAGE = 300
REFUSAL = 64 * 1024
"""Bytes that are read of a refusal."""


def session(server: Server, timeout: float) -> "aiohttp.ClientSession":
    """A pool of connections that sends the key with each request; proxies are the environment's.

    Args:
        server: is asked.
        timeout: seconds that a request may take.

    Raises:
        DataError: when the environment's proxy is no address.
    """
    import aiohttp

    proxy = server.proxy  # found once: aiohttp would look for it with each request
    if proxy and not is_address(proxy):
        found = f"the environment variable {server.proxy_variable} does not hold the address of an HTTP proxy"
        raise DataError(found, "write it as in http://proxy:3128, or unset it")
    login = "@" in urlsplit(server.url).netloc
    return aiohttp.ClientSession(
        headers={} if login else {"Authorization": f"Bearer {server.key or 'none'}"},
        timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 30)),
        connector=aiohttp.TCPConnector(limit=0),
        proxy=proxy,
    )


@asynccontextmanager
async def answering(
    http: "aiohttp.ClientSession", server: Server, method: str, address: str, **sent: Any
) -> "AsyncIterator[aiohttp.ClientResponse]":
    """Send one request, once; the answer's body is still to be read. No redirect is followed.

    Args:
        http: the pool of connections.
        server: is asked.
        method: of HTTP.
        address: of what is asked for.
        sent: what else aiohttp is to send.

    Raises:
        BackendError: when there is no answer, or its status is not one of success.
    """
    import aiohttp

    try:
        async with http.request(method, address, allow_redirects=False, **sent) as answer:
            if not 200 <= answer.status < 300:
                raise await _refused(server, answer)
            yield answer
            return
    except (aiohttp.ClientError, OSError, UnicodeError) as error:
        failed = _no_answer(server, error)
    raise failed


def _no_answer(server: Server, error: Exception) -> BackendError:
    """What an error of aiohttp means; the order matters, as some kinds are kinds of others."""
    import aiohttp

    place, kind = server.shown, type(error).__name__
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_failed(server, f"refuses to connect to {place} (status {error.status})", error.status >= 500)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _proxy_failed(server, "cannot be reached", True)
    if isinstance(error, aiohttp.ClientSSLError):
        return BackendError(f"no safe connection to {place}: {printable(str(error.os_error))}", hint="check --lm")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return BackendError(f"{place} cannot be reached", retryable=True, hint=IS_RIGHT)
    if isinstance(error, TimeoutError):
        hint = "try again later"
        return BackendError(f"{place} did not answer in time", retryable=True, hint=hint, billed=True)
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):  # the latter where a host's name is none
        return BackendError(f"{place} is no address", hint="check --lm")
    if isinstance(error, aiohttp.ClientResponseError):
        unread = f"{place} sent an answer that cannot be read ({kind})"
        return BackendError(unread, retryable=True, hint=IS_RIGHT, billed=True)
    return BackendError(f"{place} broke off its answer ({kind})", retryable=True, hint=IS_UP, billed=True)


def _proxy_failed(server: Server, what: str, retryable: bool) -> BackendError:
    proxy = server.proxy or ""
    hint = f"check the environment variable {server.proxy_variable}, or put the server's host into NO_PROXY"
    return BackendError(f"the proxy {public(proxy)} {what}", retryable=retryable, hint=hint)


async def exchange(
    http: "aiohttp.ClientSession",
    server: Server,
    method: str,
    address: str,
    limit: int,
    excess: str = "",
    **sent: Any,
) -> bytes:
    """Send one request, once, and return the body of the answer; arguments as for `answering`.

    Args:
        limit: bytes that are read at most, once they are decompressed.
        excess: the reason why this request alone is refused if there is more; without one it is the server's fault.

    Raises:
        BackendError: as `answering`, and when the body is larger.
    """
    chunks, size = [], 0
    async with answering(http, server, method, address, **sent) as answer:
        async for chunk in answer.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                answer.close()
                raise too_large(server, limit, excess)
    return b"".join(chunks)


def too_large(server: Server, limit: int, reason: str = "") -> BackendError:
    """The error of an answer with more bytes than the limit; arguments as for `exchange`."""
    return BackendError(
        f"{server.shown} sent an answer of more than {limit / 2**20:,.1f} MiB, which was not read to its end",
        retryable=not reason,
        reason=reason,
        hint="" if reason else "check --lm",
        billed=True,
    )


async def _refused(server: Server, answer: "aiohttp.ClientResponse") -> BackendError:
    """What an answer without success means, of which no more is read than its message needs."""
    import aiohttp

    body = b""
    try:
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > REFUSAL:
                break
    except aiohttp.ClientError:  # the status says enough
        pass
    answer.close()
    try:
        return refusal(server, answer.status, answer.headers, decoded(body))
    except ValueError:
        return refusal(server, answer.status, answer.headers, None)


def refusal(server: Server, status: int, headers: Mapping[str, str], told: Any) -> BackendError:
    """What an answer with a status of failure means.

    Args:
        server: gave it.
        status: of HTTP.
        headers: of the answer.
        told: the values in its body's JSON; None where it has none.
    """
    if 300 <= status < 400 and (location := headers.get("Location")):
        return _redirected(server, status, location)
    code, message = _code_and_message(told)
    shown = server.masked(printable(message))[:LONGEST_MESSAGE]  # an escape sequence could part a secret
    reason = ""
    if status in (400, 413, 422):
        reason = next((reason for reason, words in REASONS if words.search(f"{code} {message}")), "")
    spent = code == "insufficient_quota"
    return BackendError(
        f"{server.shown} refused: {shown or 'no reason given'} (status {status})",
        retryable=not spent and (status in (408, 409, 425, 429) or status >= 500),
        status=status,
        hint=SPENT if spent else HINTS.get(status, ""),
        retry_after=None if spent else _retry_after(headers),
        reason=reason,
    )


def _redirected(server: Server, status: int, location: str) -> BackendError:
    """A redirect is not followed: it would take the prompts to a server that nobody named."""
    try:
        parts = urlsplit(urljoin(public(server.url), location))
        target = server.masked(printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"))[:LONGEST_MESSAGE]
    except ValueError:
        target = "an address that cannot be read"
    return BackendError(
        f"{server.shown} redirects requests to {target} (status {status}), and nothing was sent there",
        status=status,
        hint="if that server is to be trusted with the prompts, put its address into --lm",
    )


def decoded(answer: bytes) -> Any:
    """The values in JSON.

    Raises:
        ValueError: when it is none, or nested too deep to be read.
    """
    try:
        return msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # half a surrogate pair, perhaps
        pass
    try:
        return json.loads(answer)
    except RecursionError:
        raise ValueError("nested too deep") from None


def part(value: Any, *path: str | int) -> Any:
    """What lies at a path of names and places in values from JSON; None where there is nothing."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _code_and_message(told: Any) -> tuple[str, str]:
    """The code and the message of an error, in any of the forms that servers use."""
    error = told.get("error", told) if isinstance(told, dict) else told
    if isinstance(error, dict):
        return _words(error.get("code") or error.get("type")), _words(error.get("message") or error.get("detail"))
    return "", _words(error)


def _words(value: Any) -> str:
    """A text as it is, and any other value as Python shows it."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return str(value)
    except RecursionError:
        return ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, given as such or as a date (RFC 9110, section 10.2.3); None where that is over."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            return float(value) / unit or None
        if value:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
            return seconds if seconds > 0 else None
    return None
