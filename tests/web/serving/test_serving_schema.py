"""schemathesis asks what the description allows, and what it does not, and finds no answer it does not describe."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from asking import Served

from pneg.web.serving.key import Key
from pneg.web.serving.limits import Limits

BOUNDS = Limits(turns=8, candidates=6, bytes=4096)
RUN = "from schemathesis.cli import schemathesis; schemathesis()"
Serving = Callable[..., Served]


def described(served: Served) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")


@pytest.fixture
def open_api(serving: Serving) -> Any:
    return described(serving(bounds=BOUNDS))


@pytest.fixture
def keyed_api(serving: Serving) -> Any:
    return described(serving(bounds=BOUNDS, key=Key._of("k", "")))


@pytest.mark.parametrize("keyed", [False, True])
def test_nothing_is_found(serving: Serving, keyed: bool) -> None:
    served = serving(bounds=BOUNDS, key=Key._of("k", "") if keyed else None)
    words = [
        "run",
        f"http://127.0.0.1:{served.port}/openapi.json",
        "--max-examples",
        "30",
        "--seed",
        "1",
        "--no-color",
    ]
    words += ["--header", "Authorization: Bearer k"] if keyed else []
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert served.metric('pneg_requests_total{status="200"}', **({"Authorization": "Bearer k"} if keyed else {})) > 10


def test_the_description_names_what_there_is_and_shows_examples(open_api: Any) -> None:
    found = open_api.raw_schema
    assert set(found["paths"]) == {"/rank", "/healthz", "/metrics"}
    rank = found["paths"]["/rank"]["post"]
    assert set(rank["responses"]) == {"200", "400", "408", "413", "415", "422", "500", "503"}
    [example] = rank["requestBody"]["content"]["application/json"]["examples"].values()
    assert set(example["value"]) == {"context", "candidates"}
    assert rank["responses"]["200"]["content"]["application/json"]["example"]["ranking"][0]["index"] == 1
    question = found["components"]["schemas"]["Question"]
    assert question["properties"]["context"]["maxItems"] == 8
    assert question["properties"]["candidates"]["maxItems"] == 6
    assert "security" not in rank


def test_the_description_asks_for_the_key_where_the_server_does(keyed_api: Any) -> None:
    paths = keyed_api.raw_schema["paths"]
    assert paths["/rank"]["post"]["security"] == paths["/metrics"]["get"]["security"] == [{"key": []}]
    assert "security" not in paths["/healthz"]["get"]
    assert "401" in paths["/rank"]["post"]["responses"]
