"""A real server around a scripted selector, in a thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from asking import Served
from scripted import Scripted

from pneg.web.serving.app import application
from pneg.web.serving.server import bound, made


@contextmanager
def _running(selector: Scripted, options: dict[str, Any]) -> Iterator[Served]:
    app = application(selector, **options)
    selector.forget()
    taken = bound("127.0.0.1", 0)
    ready = threading.Event()
    server = made(app, grace=5, ready=ready.set)
    thread = threading.Thread(target=server.run, args=([taken],))
    thread.start()
    assert ready.wait(30)
    try:
        yield Served(selector, taken.getsockname()[1])
    finally:
        selector.release()
        server.should_exit = True
        thread.join()


@pytest.fixture
def serving() -> Iterator[Callable[..., Served]]:
    """Starts a server, with options of the application."""
    with ExitStack() as stack:

        def start(selector: Scripted | None = None, **options: Any) -> Served:
            return stack.enter_context(_running(selector or Scripted(), options))

        yield start
