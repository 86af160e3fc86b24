"""What a model writes while it is trained."""

from pathlib import Path

import pytest
import torch
from torch import nn

from stages.lm.training.loop import Conduct
from stages.lm.training.samples import sample
from tests.lm.training.test_loop import run_in, weights


class Chain(nn.Module):
    """Writes 1, 2, 3, and with equal chances 4 or the end, 0; after 4 again 1."""

    def __init__(self) -> None:
        super().__init__()
        probabilities = torch.zeros(5, 5)
        probabilities[[0, 1, 2, 4], [1, 2, 3, 1]] = 1
        probabilities[3, [0, 4]] = 0.5
        self.table = nn.Parameter(probabilities.log())

    def start(self, batch: int) -> None:
        assert batch == 1
        assert not self.training

    def advance(self, _: None, ids: torch.Tensor) -> torch.Tensor:
        return self.table[ids[:, -1]]


def test_samples_follow_the_models_distribution_to_the_end_of_the_text() -> None:
    model = Chain()
    samples = [sample(model, 0, seed, length=8) for seed in range(200)]
    assert {tuple(ids) for ids in samples} == {(1, 2, 3, 0), (1, 2, 3, 4, 1, 2, 3, 0), (1, 2, 3, 4, 1, 2, 3, 4)}
    assert sum(len(ids) == 4 for ids in samples) == pytest.approx(100, abs=30)
    assert samples == [sample(model, 0, seed, length=8) for seed in range(200)]
    assert model.training


def test_looking_changes_nothing(tmp_path: Path) -> None:
    looking, alone = run_in(tmp_path / "looking"), run_in(tmp_path / "alone")
    seen: list[int] = []
    looking.conduct = Conduct(sample_every=5, sample=lambda model, step: (seen.append(step), str(sample(model, 0, step)))[1])
    for run in (looking, alone):
        run.train()
    assert seen == [5, 10, 12]
    assert all(torch.equal(x, y) for x, y in zip(weights(looking), weights(alone), strict=True))
    assert (tmp_path / "looking/metrics.jsonl").read_bytes() == (tmp_path / "alone/metrics.jsonl").read_bytes()
