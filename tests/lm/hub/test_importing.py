"""Folders of transformers as models of ours, and trainings that start from them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lm import artifacts
from stages.lm.errors import Paused, UserError
from stages.lm.hub.folder import layout_for, write_model
from stages.lm.hub.importing import read_folder, start_from
from stages.lm.hub.layouts import filled
from stages.lm.models import registry
from stages.lm.models.transformer import TransformerLM
from stages.lm.training.fitting import fit
from stages.lm.training.job import Job
from stages.lm.training.loop import Conduct
from stages.lm.training.settings import TrainSettings
from tests.lm.hub.folders import VOCAB, export, ids, load, model_of
from tests.lm.models.variants import VARIANTS, settings
from tests.toy_line import TRANSFORMER, Line


@pytest.mark.parametrize("layout", ["auto", "custom"])
@pytest.mark.parametrize("name", ["default", "gated with biases", "GPT-2", "Mistral", "linear and global"])
def test_what_was_exported_comes_back_to_the_bit(name: str, layout: str, tmp_path: Path) -> None:
    described = settings(**VARIANTS[name])
    model = model_of(described)
    found = read_folder(export(tmp_path, model, described, layout))
    assert filled(found.settings) == filled(described) | {"kernel": "auto"}
    assert found.tokenizer == "that one"
    other = registry.build(described, VOCAB, 5)
    assert isinstance(other, TransformerLM)
    start_from(other, described, tmp_path / "exported", "that one")
    for (key, ours), theirs in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), key


@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True])
def test_a_llama_of_transformers_can_be_read(tied: bool, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        rms_norm_eps=1e-4,
        initializer_range=0.2,
        tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 700.0},
    )
    theirs = LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path)
    found = read_folder(tmp_path)
    ours = registry.build(found.settings, VOCAB, 0)
    assert isinstance(ours, TransformerLM)
    start_from(ours, found.settings.model_copy(update={"context_length": 16}), tmp_path, "any")
    torch.testing.assert_close(ours(ids(2, 16)), theirs(ids(2, 16)).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 2}, r"training\.start: .*has layers 3, and model\.layers is 2; change that"),
        ({"norm_eps": 1e-3}, r"has norm_eps 1e-05, and model\.norm_eps is 0\.001"),
        ({"position": "learned"}, r"has position rope, and model\.position is learned"),
    ],
)
def test_another_model_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    described = settings()
    folder = export(tmp_path, model_of(described), described)
    wanted = settings(**changes)
    with pytest.raises(UserError, match=message):
        start_from(model_of(wanted), wanted, folder, "that one")
    with pytest.raises(UserError, match="was trained with the tokenizer that one, and these tokens are of another"):
        start_from(model_of(described), described, folder, "another")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "is of model_type 'gpt2'; only llama, stagecraft can be read"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "has rotary positions of type 'yarn'"),
        ({"mlp_bias": True}, "biases in all linear layers of a block or in none"),
    ],
)
def test_folders_that_are_no_model_of_ours_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    described = settings()
    folder = export(tmp_path, model_of(described), described)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=message):
        read_folder(folder)
    with pytest.raises(UserError, match=r"nothing/config\.json: no such file"):
        read_folder(tmp_path / "nothing")


@pytest.mark.parametrize("layout", ["auto", "custom"])
def test_null_in_a_config_is_as_good_as_nothing(layout: str, tmp_path: Path) -> None:
    described = settings()
    file = export(tmp_path, model_of(described), described, layout) / "config.json"
    config = json.loads(file.read_text())
    silent = ("num_key_value_heads", "head_dim", "attention_bias", "mlp_bias", "rope_theta", "norm_eps", "rms_norm_eps", "window")
    file.write_text(json.dumps({key: value for key, value in config.items() if key not in silent}))
    expected = read_folder(file.parent).settings
    file.write_text(json.dumps(config | dict.fromkeys(silent)))
    assert read_folder(file.parent).settings == expected


def test_weights_that_are_damaged_or_missing_are_refused(tmp_path: Path) -> None:
    described = settings()
    weights = export(tmp_path, model_of(described), described) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read as weights .*; copy the folder again"):
        read_folder(weights.parent)
    weights.unlink()
    with pytest.raises(UserError, match=r"exported/model\.safetensors: no such file; name the folder of a model"):
        read_folder(weights.parent)


def losses(line: Line, folder: Path, state: Path, **training: Any) -> list[float]:
    """Of each step of a short training on the toy line."""
    settings = {"steps": 3, "batch_size": 4, "validation_windows": 2, "log_every": 1, "learning_rate": 1e-2} | training
    described = TrainSettings.model_validate({"model": TRANSFORMER, "training": settings})
    run = Job.of(described, artifacts.read(line.tokens, "tokenize"), "run", state).run()
    if "start" not in training:
        trained = registry.load(folder)
        assert isinstance(trained, TransformerLM)
        run.learner.model.load_state_dict(trained.state_dict())
    run.train()
    return [record["loss"] for record in run.log.records("metrics.jsonl") if "loss" in record]


@pytest.mark.parametrize("layout", ["auto", "custom"])
def test_training_goes_on_from_a_folder_as_from_the_model_itself(layout: str, toy_line: Line, tmp_path: Path) -> None:
    description = registry.describe(toy_line.transformer)
    (tmp_path / "folder").mkdir()
    write_model(tmp_path / "folder", toy_line.transformer, description, layout_for(description.settings, layout))  # type: ignore[arg-type]
    load(tmp_path / "folder").save_pretrained(tmp_path / "again")
    expected = losses(toy_line, toy_line.transformer, tmp_path / "a")
    for number, folder in enumerate(("folder", "again")):
        found = losses(toy_line, tmp_path / folder, tmp_path / str(number), start=str(tmp_path / folder))
        assert found == expected
    fresh = TrainSettings.model_validate({"model": TRANSFORMER, "training": {}})
    assert "stages.lm.hub.importing" not in fresh.modules


def test_a_folder_that_changed_is_not_mixed_in(toy_line: Line, tmp_path: Path) -> None:
    folder, state = tmp_path / "folder", tmp_path / "state"
    described = registry.describe(toy_line.transformer)
    folder.mkdir()
    write_model(folder, toy_line.transformer, described, layout_for(described.settings, "auto"))
    training = {"steps": 2, "batch_size": 4, "validation_windows": 2, "start": str(folder)}
    settings = TrainSettings.model_validate({"model": TRANSFORMER, "training": training})
    tokens = artifacts.read(toy_line.tokens, "tokenize")
    stopped = Job.of(settings, tokens, "run", state)
    stopped.conduct = Conduct(pause_at=1)
    with pytest.raises(Paused):
        fit(stopped)
    (folder / "generation_config.json").write_text("{}")  # the model is not read from it
    Job.of(settings, tokens, "run", state).run().resume()
    config = folder / "config.json"
    config.write_text(config.read_text() + " ")
    changed = Job.of(settings, tokens, "run", state)
    with pytest.raises(UserError, match=r"checkpoints of another run \(other files of training\.start\)"):
        fit(changed)
    found = fit(Job.of(settings, tokens, "run", tmp_path / "new")).stats["start"]
    assert found == {name: artifacts.sha256(folder / name) for name in ("config.json", "model.safetensors")}
