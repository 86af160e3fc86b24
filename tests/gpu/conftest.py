"""What only a GPU can show; everything it shares with a CPU is tested there, by the same code."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
