from pathlib import Path

import pytest

from pneg import Selector


@pytest.fixture(scope="module", autouse=True)
def _tiny(one_thread: None) -> None:
    pass


def _spread(backbone: Path, folder: Path, by: float) -> Path:
    import torch

    selector = Selector.create(str(backbone), seed=3, max_length=48)
    with torch.no_grad():
        for parameter in selector.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * by)
    selector.save(folder, "# card")
    return folder


@pytest.fixture
def saved(backbone: Path, tmp_path: Path) -> Path:
    """A selector of each architecture, saved; its head is random but no longer small."""
    return _spread(backbone, tmp_path / "selector", 0.1)


@pytest.fixture
def decided(backbone: Path, tmp_path: Path) -> Path:
    """The same with weights so large that its scores lie far apart."""
    return _spread(backbone, tmp_path / "selector", 0.4)
