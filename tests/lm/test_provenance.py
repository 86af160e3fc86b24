"""The code version changes with behaviour, and with nothing else."""

from pathlib import Path

import pytest

from stages.lm.provenance import code_version

FILES = {
    "__init__.py": "",
    "decode.py": '"""Decode."""\nfrom stages.lm.inference import sampling\n',
    "train.py": "def main():\n    import stages.lm.training\n",
    "lm/__init__.py": "",
    "lm/inference/__init__.py": "",
    "lm/inference/sampling.py": "import math\n\n\ndef sample():\n    return math.pi  # a choice\n",
    "lm/training.py": "STEPS = 10\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "stages" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def change(tree: Path, name: str, text: str) -> tuple[bool, bool]:
    """Whether (decode, train) have another version after a file's text changes."""
    before = [code_version(stage, root=tree) for stage in ("stages.decode", "stages.train")]
    (tree / "stages" / name).write_text(text)
    after = [code_version(stage, root=tree) for stage in ("stages.decode", "stages.train")]
    return before[0] != after[0], before[1] != after[1]


def test_a_library_change_concerns_the_stages_that_import_it(tree: Path) -> None:
    assert change(tree, "lm/inference/sampling.py", "def sample():\n    return 3\n") == (True, False)


def test_imports_inside_functions_count(tree: Path) -> None:
    assert change(tree, "lm/training.py", "STEPS = 11\n") == (False, True)


def test_comments_docstrings_and_layout_do_not_count(tree: Path) -> None:
    text = '"""New words."""\nimport math\n\ndef sample():\n    """Pi."""\n    return math.pi\n'
    assert change(tree, "lm/inference/sampling.py", text) == (False, False)


def test_a_module_loaded_by_name_is_added_by_its_name(tree: Path) -> None:
    named = code_version("stages.decode", "stages.lm.training", root=tree)
    assert named != code_version("stages.decode", root=tree)
    (tree / "stages/lm/training.py").write_text("STEPS = 12\n")
    assert named != code_version("stages.decode", "stages.lm.training", root=tree)


def test_templates_of_a_package_count(tree: Path) -> None:
    (tree / "stages/lm/inference/templates").mkdir()
    assert change(tree, "lm/inference/templates/page.html.j2", "<p>") == (True, False)
    assert change(tree, "lm/inference/templates/page.html.j2", "<b>") == (True, False)
