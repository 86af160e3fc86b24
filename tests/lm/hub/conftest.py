"""transformers works offline, and keeps the code of the models that it loads in a folder of the tests' own; one thread."""

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers.dynamic_module_utils

    transformers.dynamic_module_utils.HF_MODULES_CACHE = str(tmp_path_factory.mktemp("hub"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """A second one only waits where matrices are as small as here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
