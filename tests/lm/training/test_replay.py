"""Steps of a past run again, and batches learned by heart."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.lm.errors import UserError
from stages.lm.models.transformer import TransformerLM
from stages.lm.training.overfit import learn_by_heart, settings_for
from stages.lm.training.replay import replay_step, table
from stages.lm.training.settings import TrainSettings
from stages.lm.training.view import sparkline
from tests.lm.training.test_loop import IDS, MODEL, SETTINGS, one_document, run_in

EVERY_STEP = SETTINGS.model_copy(update={"log_every": 1, "micro_batch_size": 3})


def test_a_step_is_replayed_as_it_was(tmp_path: Path) -> None:
    """Its loss and gradient norm are those that the run wrote down; its tokens' losses are the model's, and have that mean."""
    run = run_in(tmp_path, EVERY_STEP)
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    seventh = next(line for line in lines if line["step"] == 7)
    for at in (tmp_path, tmp_path / "nothing left"):
        again = run_in(at, EVERY_STEP)
        shown = replay_step(again, 7, one_document(IDS))
        assert shown.loss == seventh["loss"]
        assert shown.gradient_norm == pytest.approx(seventh["gradient_norm"], rel=1e-6)
        assert shown.learning_rate == seventh["learning_rate"]
    ids = torch.tensor([example.tokens for example in shown.examples])
    losses = torch.tensor([example.losses for example in shown.examples])
    assert torch.equal(ids, again.data.batch(6).tensors[0])
    assert isinstance(again.learner.model, TransformerLM)
    torch.testing.assert_close(losses, -again.learner.model.token_log_probs(ids), rtol=0, atol=1e-5)
    assert losses.mean().item() == pytest.approx(shown.loss, rel=1e-5)


def test_documents_are_those_that_the_windows_touch(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    train = one_document(IDS)
    train = type(train)(IDS, np.arange(0, 4001, 10), np.full(400, 10))  # document n is ids 10 n .. 10 n + 9
    starts = run.data.starts(3)  # type: ignore[attr-defined]
    shown = replay_step(run, 4, train)
    assert [example.documents for example in shown.examples] == [
        sorted({(start + place) // 10 for place in range(9)}) for start in starts.tolist()
    ]


def test_the_table_shows_the_dearest_example_with_each_tokens_loss(tmp_path: Path) -> None:
    shown = replay_step(run_in(tmp_path), 1, one_document(IDS))
    dearest = max(shown.examples, key=lambda example: sum(example.losses or []))
    lines = table(shown, [f"<{index}>" for index in range(13)], 1).splitlines()
    assert lines[0].startswith(f"step 1: loss {shown.loss:.4f} nats/token")
    assert lines[-2].startswith(f"example {dearest.number}, document 0, ")
    first, second = dearest.tokens[:2]
    assert dearest.losses is not None
    assert lines[-1].startswith(f"<{first}> <{second}>({dearest.losses[0]:.2f}) ")
    assert [line.split()[0] for line in lines if line.startswith(("token_", "layers", "ln_", "lm_"))] == list(
        shown.norms["weights"]
    )


def test_a_step_that_the_run_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--step: 13 is not one of the steps 1 to 12"):
        replay_step(run_in(tmp_path), 13, one_document(IDS))


def test_one_batch_is_learned_by_heart_unless_the_learning_rate_forbids_it(tmp_path: Path) -> None:
    settings = settings_for(TrainSettings(model=MODEL, training=SETTINGS), examples=1).training
    losses = learn_by_heart(run_in(tmp_path, settings), 500, below=0.05)
    assert losses[-1] < 0.05 < losses[-2]
    assert len(losses) < 500
    slow = learn_by_heart(run_in(tmp_path, settings.model_copy(update={"learning_rate": 1e-9})), 20, below=0.05)
    assert len(slow) == 20
    assert slow[-1] > 1


def test_sparklines_by_hand() -> None:
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"
    assert sparkline([4, 4, 0, 0, 2, 2], width=3) == "█▁▅"
    assert sparkline([1, 1]) == "▁▁"
    assert sparkline([]) == ""
