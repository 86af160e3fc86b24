"""What a config says of a variant is checked against its file, which is not run for that."""

import sys
from pathlib import Path

import pytest

from stages.lm.errors import UserError
from stages.lm.models.huggingface.source import read_source
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import parse
from tests.lm.models.huggingface.variants import GATED, REZERO, changed, settings


def test_the_file_is_read_and_not_run() -> None:
    before = set(sys.modules)
    gated, rezero = read_source(Path(GATED)), read_source(Path(REZERO))
    assert (gated.model_type, rezero.model_type) == ("gated-attention", "rezero-llama")
    assert gated.keys is not None
    assert {"gate", "hidden_size", "vocab_size"} <= gated.keys
    assert "model_type" not in gated.keys
    assert rezero.keys is None  # and has those of Llama too
    assert "transformers" not in set(sys.modules) - before


def test_constructors_declare_keys_too(tmp_path: Path) -> None:
    lines = (
        "class C(transformers.PretrainedConfig):",
        " model_type = 'c'",
        " def __init__(self, d, width=1, *, e=f(), **more): ...",
    )
    (tmp_path / "own.py").write_text("\n".join(lines))
    source = read_source(tmp_path / "own.py")
    assert (source.keys, source.defaults) == ({"d", "width", "e"}, {"width": 1})


def test_a_written_default_is_no_other_model() -> None:
    assert settings(GATED, gate="number").resolved() == settings(GATED).resolved() != settings(GATED, gate="head").resolved()
    assert settings(REZERO, alpha=0.0).resolved() == settings(REZERO).resolved()


def test_another_code_is_another_model_and_a_comment_is_not(tmp_path: Path) -> None:
    same = changed(tmp_path, ("self.heads = config", "self.heads  =  config"), ("A changed attention", "An attention"))
    assert settings(same).code == settings(GATED).code
    other = changed(tmp_path, (".sigmoid()", ".tanh()"))
    assert settings(other).code != settings(GATED).code
    assert settings(GATED).resolved()["code"] == settings(GATED).code


def test_what_is_resolved_needs_no_file(tmp_path: Path) -> None:
    resolved = settings(changed(tmp_path)).resolved()
    (tmp_path / "gated_attention.py").unlink()
    assert parse(ModelSettings, resolved, "model").resolved() == resolved


def test_numbers_that_yaml_takes_for_text() -> None:
    found = settings(rms_norm_eps="1e-6", hidden_size="32").config
    assert (found["rms_norm_eps"], found["hidden_size"]) == (1e-6, 32)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"gait": "none"}, "model: config.gait: unknown key 'gait'; did you mean 'gate'? allowed: gate, hidden_size, "),
        ({"vocab_size": 3}, "model: config.vocab_size: follows from the tokenizer and context_length; leave it out"),
    ],
)
def test_keys_that_it_does_not_have_are_refused(config: dict[str, object], message: str) -> None:
    data = {"family": "huggingface", "file": GATED, "context_length": 8, "config": config}
    with pytest.raises(UserError) as caught:
        parse(ModelSettings, data, "model")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.py", None, "cannot be read: No such file"),
        ("no-module.py", "", "should be a Python file, named as a module is"),
        ("broken.py", "class", "is no Python: invalid syntax"),
        ("nothing.py", "x = 1", "has 0 config classes with a model_type; a variant needs one, as in class"),
    ],
)
def test_files_that_are_no_variant_are_refused(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    data = {"family": "huggingface", "file": str(tmp_path / name), "context_length": 8}
    with pytest.raises(UserError) as caught:
        parse(ModelSettings, data, "model")
    assert f"model: {tmp_path / name}: {message}" in str(caught.value)
