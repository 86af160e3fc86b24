"""The registry and the packages' public names."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from stages.lm.errors import UserError
from stages.lm.models import registry


@pytest.mark.parametrize("package", ["stages.lm.models", "stages.lm.training"])
def test_every_public_name_can_be_imported(package: str) -> None:
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = module.Nothing


def test_planning_does_not_load_torch(root: Path) -> None:
    code = "import sys, stages.lm.models.registry, stages.lm.training.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def test_every_family_has_its_module() -> None:
    for family in registry.FAMILIES:
        assert import_module(registry.module_of(family))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.json: is absent"):
        registry.load(tmp_path)
