"""Project 1.3's variants: ours pass, and each mistake fails the check that is about it."""

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.lm.grading.checks.variant import CHECKS
from stages.lm.grading.comparing import difference

GATED, REZERO = "config/variants/gated_attention.py", "config/variants/rezero_residual.py"

FAULTS = {
    "variant.causal": ("seen = place <= place[", "seen = place >= 0 * place["),
    "variant.loss": (
        "logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten()",
        "logits.float().flatten(0, 1), labels.flatten()",
    ),
    "variant.cache": ("start = 0 if past_key_values is None else past_key_values.get_seq_length()", "start = 0"),
    "variant.trains": ("self.post_init()", "self.post_init(); self.requires_grad_(False)"),
    "variant.saved": ("self.post_init()", 'self.register_buffer("shift", torch.randn(1), persistent=False); self.post_init()'),
}


def failed(code: str, folder: Path) -> set[str]:
    """The checks that the file of a variant fails."""
    file = folder / "variant.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location(f"variant_{abs(hash(code))}", file)
    assert spec is not None
    assert spec.loader is not None
    variant = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = variant  # where transformers looks for the file that it saves
    spec.loader.exec_module(variant)
    return {name for name in CHECKS if not passes(name, variant)}


def passes(name: str, variant: Any) -> bool:
    check, found = CHECKS[name], []
    for given in check.cases(random.Random(2)).values():
        try:
            found.append(difference(check.view(check.probe(variant, given), given), check.right, 0.0))
        except (ValueError, RuntimeError, AttributeError) as error:
            found.append(str(error))
    return found == [None] * len(found)


@pytest.mark.parametrize("file", [GATED, REZERO])
def test_ours_pass(file: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert failed((root / file).read_text(), tmp_path) == set()


@pytest.mark.parametrize("name", FAULTS)
def test_a_mistake_fails_its_check(name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    right, wrong = FAULTS[name]
    code = (root / GATED).read_text()
    assert right in code
    code = code.replace(right, wrong)
    if name == "variant.saved":
        code = code.replace("x = self.embeddings(input_ids)", "x = self.embeddings(input_ids) + self.shift")
    # What sees the future says something else where the future is not there yet.
    assert failed(code, tmp_path) == ({name, "variant.cache"} if name == "variant.causal" else {name})


def test_a_file_without_a_model(tmp_path: Path) -> None:
    assert failed("x = 1\n", tmp_path) == set(CHECKS)
