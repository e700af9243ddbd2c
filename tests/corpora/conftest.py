"""Where published corpora lie, on machines that have them."""

from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"the published corpora are not at {DATA}")
    return DATA


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
