"""A server as a client sees it."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from scripted import Scripted

ASK = {"context": ["Hi.", "Hello."], "candidates": ["four", "a", "seventh"]}


@dataclass(frozen=True)
class Served:
    """A server and the selector in it."""

    selector: Scripted
    port: int

    def connection(self) -> HTTPConnection:
        """A connection of one's own."""
        return HTTPConnection("127.0.0.1", self.port, timeout=300)

    def ask(
        self, body: object = ASK, path: str = "/rank", method: str = "POST", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON (or text) and headers of an answer."""
        connection = self.connection()
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        connection.request(method, path, body=data, headers=named)
        response = connection.getresponse()
        found = response.read()
        connection.close()
        plain = not response.getheader("content-type", "").startswith("application/json")
        told = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found.decode() if plain else json.loads(found), told

    def metric(self, line: str, **headers: str) -> float:
        """The value of a metric, as its line begins."""
        _, text, _ = self.ask(None, "/metrics", "GET", **headers)
        [value] = [found.rpartition(" ")[2] for found in text.splitlines() if found.startswith(line + " ")]
        return float(value)
