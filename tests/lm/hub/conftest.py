"""transformers works offline, and keeps the code of the models that it loads in a folder of the tests' own."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers.dynamic_module_utils

    transformers.dynamic_module_utils.HF_MODULES_CACHE = str(tmp_path_factory.mktemp("hub"))
