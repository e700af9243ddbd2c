"""The server's life: an address is taken, the application is served, what is in work is finished."""

import asyncio
import errno
import ipaddress
import signal
import socket
from collections.abc import Callable
from types import FrameType

from pneg.errors import DataError, needs
from pneg.web.serving.limits import Refusal

with needs("serve"):
    import uvicorn
    from fastapi import FastAPI
    from starlette.types import Message, Receive, Scope, Send

BACKLOG = 2048
"""Connections that may wait to be accepted."""
KEEP_ALIVE = 75
"""Seconds that an idle connection is kept; proxies keep theirs for less, so none is closed under a request."""
CLOSING = {"Connection": "close"}
LAST_WORDS = 2.0
"""Seconds in which requests that were cut off are told so, and clients that do not listen are left."""


def bound(host: str, port: int) -> socket.socket:
    """A socket that has its address and does not listen yet.

    Args:
        host: a name or an address.
        port: 0 takes any that is free.

    Raises:
        DataError: when the port is taken, or there is no such address here.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        taken = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"--host {host}: {getattr(error, 'strerror', error)}", "name an address of this machine"
        ) from None
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise _refused(host, port, error) from None
    return taken


def _refused(host: str, port: int, error: OSError) -> DataError:
    if error.errno == errno.EADDRINUSE:
        return DataError(f"--port {port} of {host} is taken", "take another, or 0 for any that is free")
    return DataError(f"{host} port {port}: {error.strerror}", "take another --host or --port")


def url(taken: socket.socket) -> str:
    """The address of a socket as clients write it."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reachable(taken: socket.socket) -> bool:
    """Whether other machines may reach the address of a socket."""
    address = ipaddress.ip_address(taken.getsockname()[0].partition("%")[0])
    inner = getattr(address, "ipv4_mapped", None) or address
    return not inner.is_loopback


def made(app: FastAPI, *, grace: float, ready: Callable[[], None]) -> "Server":
    """A server with this project's settings, not started; arguments as of `run`."""
    config = uvicorn.Config(
        _CutOff(app),
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=grace + LAST_WORDS,  # type: ignore[arg-type]  # asyncio takes any number
    )
    return Server(config, ready, grace)


def run(app: FastAPI, taken: socket.socket, *, grace: float, ready: Callable[[], None]) -> int:
    """Serve until SIGTERM or SIGINT; then accept no more, finish what is in work, and return.

    Args:
        app: the application.
        taken: from `bound`.
        grace: seconds that the work may take to finish; what is left then is cut off.
        ready: called when requests are accepted.

    Returns:
        How many requests were cut off.

    Raises:
        DataError: when another server began to listen at the address meanwhile.
    """
    try:
        taken.listen(BACKLOG)
    except OSError as error:
        host, port = taken.getsockname()[:2]
        raise _refused(host, port, error) from None
    server = made(app, grace=grace, ready=ready)

    def stop(number: int, _: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal again once it has stopped, for the handlers that were there before: these
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[taken])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return server.cut_off


class _CutOff:
    """The application, in which a request that is cut off gets an answer and leaves no stack trace."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except asyncio.CancelledError:
            if started or scope["type"] != "http":
                raise
            refusal = Refusal(503, "the server ends and had no time left for this request; ask again", CLOSING)
            await refusal.response()(scope, receive, send)


class Server(uvicorn.Server):
    """Says when it is ready, and cuts off what is in work when its grace is over.

    Attributes:
        cut_off: how many requests that were.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], grace: float) -> None:
        super().__init__(config)
        self.ready, self.grace, self.cut_off = ready, grace, 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept requests, and say so."""
        await super().startup(sockets)
        if self.started:
            self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and wait until what is in work is done or cut off."""
        timer = asyncio.get_running_loop().call_later(self.grace, self._cut)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    def _cut(self) -> None:
        tasks = list(self.server_state.tasks)
        self.cut_off = len(tasks)
        for task in tasks:
            task.cancel()
