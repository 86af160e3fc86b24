"""What is easiest to get subtly wrong in training: items 6 to 9 of section 6 of the course's requirements."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.transformer import TransformerLM
from stages.lm.tokens import TokenArray
from stages.lm.training.batches import get_batch
from stages.lm.training.clipping import clip_gradients
from stages.lm.training.optimizer import build_optimizer
from stages.lm.training.settings import TrainingSettings
from stages.lm.training.windows import EpochStarts, RandomStarts
from tests.lm.training.test_loop import SETTINGS, learner, run_in, weights


@pytest.mark.parametrize("position", ["rope", "learned", "sinusoidal", "none"])
def test_item_6_what_is_trained_is_a_parameter_and_what_is_derived_is_not_saved(position: str) -> None:
    settings = TransformerSettings.model_validate(
        {"family": "transformer", "layers": 2, "heads": 2, "d_model": 8, "context_length": 4, "position": position}
    )
    model = registry.build(settings, 11, 0)
    assert isinstance(model, TransformerLM)
    parameters = dict(model.named_parameters())
    assert set(model.state_dict()) == set(parameters)  # no buffer is persistent
    assert "token_embeddings.weight" in parameters
    assert sum(parameter.numel() for parameter in parameters.values()) == model.num_parameters()


def test_item_6_every_parameter_is_trained_the_embeddings_too(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    before = weights(run)
    run.train()
    names = [name for name, _ in run.learner.model.named_parameters()]
    unchanged = [name for name, a, b in zip(names, before, weights(run), strict=True) if torch.equal(a, b)]
    assert unchanged == []


def test_item_7_clipping_a_generator_of_parameters_clips_all_of_them() -> None:
    """`model.parameters()` can be read once: one pass for the norm would leave nothing to scale."""
    pupil = learner(SETTINGS)
    for parameter in pupil.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    norm = clip_gradients(pupil.model.parameters(), 0.01)
    assert norm.item() == pytest.approx(sum(parameter.numel() for parameter in pupil.model.parameters()) ** 0.5, rel=1e-5)
    left = torch.cat([parameter.grad.flatten() for parameter in pupil.model.parameters() if parameter.grad is not None])
    assert left.norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_item_8_the_rate_of_a_step_is_in_every_group_before_it_and_decay_follows_it(tmp_path: Path, optimizer: str) -> None:
    """At rate 0 nothing changes, decay included; at a rate every group has it."""
    run = run_in(tmp_path, SETTINGS.model_copy(update={"optimizer": optimizer, "weight_decay": 0.5}))
    before, batch = weights(run), run.data.batch(0)
    run.learner.step(batch, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(run), strict=True))
    run.learner.step(batch, 0.1)
    assert [group["lr"] for group in run.learner.optimizer.param_groups] == [0.1] * len(run.learner.optimizer.param_groups)
    assert not any(torch.equal(a, b) for a, b in zip(before, weights(run), strict=True))


def test_item_8_decay_is_that_of_the_current_rate() -> None:
    """Without a gradient's direction (all zeros) a step only decays: by the rate of this step, not that of construction."""
    model = TransformerLM(11, 4, d_model=8, num_layers=1, num_heads=2, d_ff=8)
    optimizer = build_optimizer(model, TrainingSettings(learning_rate=1.0, weight_decay=0.5))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    optimizer.step()
    for name, parameter in model.named_parameters():
        is_decayed = not name.startswith(("token_embeddings", "ln_")) and ".ln" not in name
        torch.testing.assert_close(parameter.detach(), before[name] * (1 - 0.1 * 0.5 if is_decayed else 1))


def test_item_8_the_schedule_is_0_at_0_and_at_its_minimum_with_the_last_step() -> None:
    settings = TrainingSettings(steps=200, warmup_steps=10, learning_rate=1e-2, min_learning_rate=1e-4)
    assert settings.learning_rate_at(0) == 0
    assert settings.learning_rate_at(10) == 1e-2
    assert settings.learning_rate_at(199) > settings.learning_rate_at(200) == 1e-4


def test_item_9_ids_above_32767_survive_from_disk_to_the_model(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.full(20, 50_256, dtype=np.uint16))
    x, _ = get_batch(np.load(tmp_path / "ids.npy", mmap_mode="r"), 2, 4)
    assert x.dtype == torch.int64
    assert x.unique().tolist() == [50_256]


def test_item_9_arrays_of_another_type_or_length_are_refused(tmp_path: Path) -> None:
    for name, array in (("offsets", np.array([0, 4])), ("bytes", np.array([4]))):
        np.save(tmp_path / f"train.{name}.npy", array)
    for ids in (np.zeros(4, dtype=np.int32), np.zeros(5, dtype=np.uint16)):
        np.save(tmp_path / "train.npy", ids)
        with pytest.raises(UserError, match="do not fit together"):
            TokenArray.open(tmp_path, "train")


@pytest.mark.parametrize("starts", [EpochStarts, RandomStarts])
def test_item_9_the_last_valid_start_is_reached_and_none_after_it(starts: type[EpochStarts] | type[RandomStarts]) -> None:
    found = np.concatenate([starts(27, 9, 4, seed)(0) for seed in range(200)])
    assert found.max() == 27 - 9 - 1
    assert found.min() == 0
