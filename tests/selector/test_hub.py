"""The hub is not reached from here: what it is asked is seen at the calls of its own client."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import HFValidationError

from pneg.errors import DataError, ModelError
from pneg.selector.hub import check, push


def test_the_whole_folder_goes_to_a_repository_that_is_made_if_need_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Any]] = []

    def create(name: str, **options: Any) -> str:
        asked.append((name, options))
        return f"https://hub/{name}"

    monkeypatch.setattr(huggingface_hub, "create_repo", create)
    monkeypatch.setattr(huggingface_hub, "upload_folder", lambda **options: asked.append(("upload", options)))
    assert push(tmp_path, "me/selector") == "https://hub/me/selector"
    assert asked[0] == ("me/selector", {"exist_ok": True})
    assert (asked[1][1]["repo_id"], asked[1][1]["folder_path"]) == ("me/selector", tmp_path)


def test_what_could_not_be_sent_is_kept_and_how_to_send_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HFValidationError):
        huggingface_hub.create_repo("no/such/name")  # what the hub's client itself says of such a name
    with pytest.raises(ModelError, match=f"no/such/name was not sent.*hf upload no/such/name {tmp_path}"):
        push(tmp_path, "no/such/name")

    def refuse(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "create_repo", refuse)
    with pytest.raises(ModelError, match="me/selector was not sent to the hub: no route; the selector is in"):
        push(tmp_path, "me/selector")


def test_a_name_is_looked_at_before_anything_is_trained() -> None:
    check("me/my-selector")
    with pytest.raises(DataError, match="'no/such/name' is no name of a repository; it is like me/my-selector"):
        check("no/such/name")
