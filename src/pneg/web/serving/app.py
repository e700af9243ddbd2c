"""The application: ranking, health, metrics, and their description."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from pneg import __version__
from pneg.errors import PnegError, needs
from pneg.selector.ranking import Pair, Scorer, turns_read
from pneg.web.serving import description, limits
from pneg.web.serving.batching import Batcher, Full, Scores
from pneg.web.serving.key import Key
from pneg.web.serving.limits import JSON, Limits, Refusal
from pneg.web.serving.messages import Health, encode, ranking
from pneg.web.serving.metrics import Metrics

with needs("serve"):
    from fastapi import FastAPI
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GONE = 499
"""What is counted where the client went away; nobody reads it."""
log = logging.getLogger("pneg.serve")


def application(
    selector: Scorer,
    *,
    bounds: Limits | None = None,
    key: Key | None = None,
    together: int = 256,
    waiting: int = 2000,
) -> FastAPI:
    """The application that serves a selector.

    Args:
        selector: what scores; its `temperature`, if it has one, makes probabilities of scores.
        bounds: of a request.
        key: that `/rank` and `/metrics` ask for; None asks for none.
        together: candidates scored in a call at most.
        waiting: candidates that may wait at most.
    """
    metrics = Metrics()
    batcher = Batcher(selector, metrics, together, waiting)
    batcher.warm()
    room = _Room(selector, batcher, metrics, bounds or Limits(), key)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        batcher.close()

    app = FastAPI(
        title="pneg", version=__version__, description=description.ABOUT, lifespan=life, docs_url=None, redoc_url=None
    )
    told = description.routes(room.bounds, keyed=key is not None)
    for path, method, answer in (
        ("/rank", "POST", room.rank),
        ("/healthz", "GET", room.healthz),
        ("/metrics", "GET", room.prometheus),
    ):
        app.add_api_route(path, answer, methods=[method], response_class=Response, **told[path])
    app.openapi = lambda: document  # type: ignore[method-assign]
    document = description.document(app, room.bounds, keyed=key is not None)
    return app


@dataclass(frozen=True, slots=True)
class _Room:
    selector: Scorer
    batcher: Batcher
    metrics: Metrics
    bounds: Limits
    key: Key | None

    async def rank(self, request: Request) -> Response:
        """Order candidates by how well they fit a context, best first."""
        started = time.perf_counter()
        try:
            response = await self._ranked(request)
            self.metrics.request_seconds.observe(time.perf_counter() - started)
        except Refusal as refusal:
            response = refusal.response()
        except ClientDisconnect:
            response = Response(status_code=GONE)
        self.metrics.requests.labels(response.status_code).inc()
        return response

    async def _ranked(self, request: Request) -> Response:
        self._admit(request)
        asked = limits.checked(await limits.body(request, self.bounds.bytes), self.bounds, self.selector.history)
        texts = list(dict.fromkeys(asked.candidates))  # twins get one score, so that they keep their order
        scores = np.zeros(0, dtype=np.float32)
        if texts:
            turns = turns_read(asked.context, asked.persona, self.selector.history)
            scores = await self._scored([(turns, text) for text in texts], request)
        if len(texts) < len(asked.candidates):
            places = {text: place for place, text in enumerate(texts)}
            scores = scores[[places[text] for text in asked.candidates]]
        return Response(ranking(asked.candidates, scores, self.selector.temperature), media_type=JSON)

    async def _scored(self, pairs: list[Pair], request: Request) -> Scores:
        try:
            answer = self.batcher.submit(pairs)
        except Full as full:
            told = f"more is waiting than is taken; try again in {full.seconds} s"
            raise Refusal(503, told, {"Retry-After": str(full.seconds)}) from None
        gone = asyncio.create_task(_gone(request))
        gone.add_done_callback(lambda _: answer.cancel())
        try:
            await asyncio.wait({answer})
        finally:
            gone.cancel()
            answer.cancel()
        if answer.cancelled():
            raise ClientDisconnect
        error = answer.exception()
        if error is None:
            return answer.result()
        # where a PnegError came from does not matter, its words say what to do
        log.error(
            "a request could not be scored: %s", error, exc_info=None if isinstance(error, PnegError) else error
        )
        raise Refusal(500, "the selector failed on this request; its log says why")

    def _admit(self, request: Request) -> None:
        if self.key is not None and not self.key.opens(request.headers.get("authorization")):
            told = "the key is missing or wrong; send the header Authorization: Bearer KEY"
            raise Refusal(401, told, {"WWW-Authenticate": "Bearer"}, unread=request.method == "POST")

    async def healthz(self) -> Response:
        """Whether the server answers; asks for no key."""
        return Response(encode(Health("ok")), media_type=JSON)

    async def prometheus(self, request: Request) -> Response:
        """Counts and times, in Prometheus' text format."""
        try:
            self._admit(request)
        except Refusal as refusal:
            return refusal.response()
        return Response(self.metrics.text(), media_type=METRICS_TYPE)


async def _gone(request: Request) -> None:
    """Returns when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
