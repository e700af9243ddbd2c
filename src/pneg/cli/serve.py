"""`pneg serve`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pneg.cli import options
from pneg.errors import DataError, ModelError, needs

if TYPE_CHECKING:
    from pneg.selector.ranking import Scorer
    from pneg.web.serving.key import Key

POSITIVE = click.IntRange(1)


@click.command(cls=options.Command)
@click.argument("selector", type=options.Read(Path))
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen at; :: or 0.0.0.0 for all."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one.")
@click.option("--max-turns", type=POSITIVE, default=64, show_default=True, help="Turns of a context.")
@click.option("--max-candidates", type=POSITIVE, default=200, show_default=True, help="Candidates of a request.")
@click.option("--max-bytes", type=POSITIVE, default=2**18, show_default=True, help="Bytes of a request's body.")
@click.option(
    "--max-waiting",
    type=POSITIVE,
    default=2000,
    show_default=True,
    help="Candidates that may wait for the model; a request beyond is answered 503.",
)
@click.option(
    "--together",
    type=POSITIVE,
    default=256,
    show_default=True,
    help="Candidates of several requests scored in one call; 1 scores each request alone.",
)
@click.option("--api-key-variable", metavar="NAME", help="The environment variable that holds the key to ask for.")
@click.option("--api-key-file", type=options.Read(Path), help="The file that holds the key to ask for.")
@click.option(
    "--grace",
    type=options.Number(0),
    default=30.0,
    show_default=True,
    help="Seconds that work may take to finish when the server is stopped.",
)
@options.as_json
def serve(
    selector: Path,
    host: str,
    port: int,
    max_turns: int,
    max_candidates: int,
    max_bytes: int,
    max_waiting: int,
    together: int,
    api_key_variable: str | None,
    api_key_file: Path | None,
    grace: float,
    as_json: bool,
) -> None:
    """Rank candidates over HTTP until Ctrl-C or SIGTERM.

    POST /rank takes {"context": [...], "candidates": [...]}, with "persona" if need be. There are /healthz, /metrics
    for Prometheus and /openapi.json besides. What is in work is finished before the server ends.
    """
    key = _key(api_key_variable, api_key_file)
    with needs("serve"):
        from pneg.web.serving import server
        from pneg.web.serving.app import application
        from pneg.web.serving.limits import Limits

    with server.bound(host, port) as taken:
        if key is None and server.reachable(taken):
            click.echo(
                f"pneg: warning: {server.url(taken)} is open to other machines and asks for no key; give "
                "--api-key-file or --api-key-variable, or listen at --host 127.0.0.1",
                err=True,
            )
        loaded = _load(selector)
        bounds = Limits(max_turns, max_candidates, max_bytes)
        app = application(loaded, bounds=bounds, key=key, together=together, waiting=max_waiting)
        address = server.url(taken)

        def ready() -> None:
            click.echo(f"pneg: serving {selector} at {address}; Ctrl-C ends it", err=True)
            if as_json:
                click.echo(json.dumps({"url": address}))

        cut_off = server.run(app, taken, grace=grace, ready=ready)
        if cut_off:
            requests = "1 request was" if cut_off == 1 else f"{cut_off} requests were"
            click.echo(f"pneg: {requests} cut off after --grace {grace:g} s", err=True)


def _load(folder: Path) -> "Scorer":
    from pneg.selector import ranking

    try:
        return ranking.load(folder)
    except ModelError as error:
        raise DataError(str(error)) from error


def _key(variable: str | None, file: Path | None) -> "Key | None":
    from pneg.web.serving.key import Key

    if variable is not None and file is not None:
        raise click.UsageError("--api-key-variable and --api-key-file do not go together")
    if variable is not None:
        return Key.from_variable(variable)
    return None if file is None else Key.from_file(file)
