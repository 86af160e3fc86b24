"""Steps by Hugging Face's Trainer: what the loop makes of the same settings, byte for byte, and what Trainer cannot do."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lm import artifacts
from stages.lm.artifacts import Artifact
from stages.lm.errors import Paused, UserError
from stages.lm.settings import parse
from stages.lm.training import trainer
from stages.lm.training.distributed import Ranks
from stages.lm.training.fitting import Fitted, fit
from stages.lm.training.job import Job
from stages.lm.training.loop import Conduct
from stages.lm.training.metrics import METRICS
from stages.lm.training.settings import TrainSettings
from tests.counting_tokens import write_tokens
from tests.lm.models.huggingface.variants import GATED, SIZES

GPT = {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16, "dropout": 0.1}
VARIANT = {"family": "huggingface", "file": GATED, "context_length": 16, "config": SIZES}
TRAINING = {
    "steps": 8, "batch_size": 4, "learning_rate": 1e-2, "weight_decay": 0.5, "clip_norm": 0.3, "log_every": 3,
    "validate_every": 4, "validation_windows": 2, "threads": 1, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return artifacts.read(write_tokens(tmp_path_factory.mktemp("tokens") / "tiny"), "tokenize")


def settings(model: dict[str, Any] = VARIANT, **training: Any) -> TrainSettings:
    return parse(TrainSettings, {"model": model, "training": TRAINING | {"backend": "trainer"} | training}, "test")


def job(folder: Path, tokens: Artifact, model: dict[str, Any] = VARIANT, **training: Any) -> Job:
    return Job.of(settings(model, **training), tokens, "run", folder / "state")


def assert_same(one: Fitted, other: Fitted) -> None:
    """The same bytes."""
    assert (one.logs[METRICS], one.stats) == (other.logs[METRICS], other.stats)
    weights: Any = other.model
    for name, tensor in weights.state_dict().items():
        assert torch.equal(one.model.state_dict()[name], tensor), name  # type: ignore[attr-defined]


@pytest.mark.parametrize("changes", [
    {},
    {"micro_batch_size": 2, "schedule": "wsd", "warmup_steps": 3, "batches": "random", "watch_every": 4},
    {"optimizer": "muon", "precision": "bf16", "schedule": "linear", "activation_checkpointing": True},
])  # fmt: skip
@pytest.mark.parametrize("model", [GPT, VARIANT], ids=["ours", "variant"])
def test_it_ends_with_the_bytes_of_the_loop(
    model: dict[str, Any], changes: dict[str, Any], tokens: Artifact, tmp_path: Path
) -> None:
    found, expected = (fit(job(tmp_path / backend, tokens, model, backend=backend, **changes)) for backend in ("trainer", "loop"))
    assert_same(found, expected)
    assert found.stats["validation_loss"] < 2.9  # of ln 20 = 3.0


def test_documents_apart(tokens: Artifact, tmp_path: Path) -> None:
    found, expected = (fit(job(tmp_path / one, tokens, GPT, backend=one, batches="documents")) for one in ("trainer", "loop"))
    assert_same(found, expected)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tokens: Artifact, tmp_path: Path) -> None:
    for pause_at in (3, 7):
        stopped = job(tmp_path, tokens)
        stopped.conduct = Conduct(pause_at=pause_at)
        with pytest.raises(Paused, match=f"paused after step {pause_at} of 8"):
            fit(stopped)
    assert_same(fit(job(tmp_path, tokens)), fit(job(tmp_path / "whole", tokens)))
    assert not list((tmp_path / "state").glob("**/*.pt"))


def test_a_training_that_diverges_says_where(tokens: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"at step \d the loss or its gradient is no longer finite, first the .* of network"):
        fit(job(tmp_path, tokens, learning_rate=1e30, log_every=1))


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        (VARIANT, {"compile": True}, "training: compile: the backend trainer trains models as they are; leave it out, or take"),
        (VARIANT, {"micro_batch_size": 3}, "micro_batch_size: the backend trainer needs one that divides batch_size 4, not 3"),
        (VARIANT, {"micro_batch_size": "auto"}, "needs one that divides batch_size 4, not auto; change it"),
        (VARIANT, {"batches": "documents"}, "the family huggingface does not keep documents apart; take epochs or random"),
        ({"family": "lstm", "layers": 1, "d_model": 8, "context_length": 8}, {}, "the family lstm learns from streams; leave it"),
    ],
)
def test_what_it_cannot_do_is_refused(model: dict[str, Any], training: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        settings(model, **training)
    assert message in str(caught.value)


def test_several_processes_and_missing_packages_are_refused(
    tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = job(tmp_path, tokens, GPT)
    several.ranks = Ranks(0, 2)
    with pytest.raises(UserError, match=r"training\.backend: trainer trains in one process"):
        several.run()
    monkeypatch.setattr(trainer, "find_spec", lambda name: None if name == "accelerate" else importlib.util.find_spec(name))
    with pytest.raises(UserError, match=r"trainer, unlike loop, needs the package accelerate; pip install -r envs/dev\.txt"):
        job(tmp_path, tokens, GPT).run()
