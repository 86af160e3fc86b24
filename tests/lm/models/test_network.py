"""Saving and loading, with parameters that have several names."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from stages.lm.errors import UserError
from stages.lm.models.network import Network


class Tied(Network):
    """Two names for one matrix, and one for another."""

    def __init__(self, settings: int, vocab_size: int) -> None:
        super().__init__()
        self.first = nn.Linear(settings, vocab_size, bias=False)
        self.second = nn.Linear(settings, vocab_size, bias=False)
        self.last = nn.Linear(settings, vocab_size, bias=False)
        self.first.weight = self.last.weight


def test_what_has_two_names_is_stored_once_under_the_last(tmp_path: Path) -> None:
    model = Tied(3, 5)
    model.save(tmp_path)
    assert set(load_file(tmp_path / "model.safetensors")) == {"second.weight", "last.weight"}
    assert model.num_parameters() == 2 * 3 * 5
    loaded = Tied.load(tmp_path, 3, 5)
    assert loaded.first.weight is loaded.last.weight
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    Tied(3, 5).save(tmp_path)
    with pytest.raises(UserError, match=r"first\.weight is \(5, 3\), but the model's settings need \(6, 3\)"):
        Tied.load(tmp_path, 3, 6)
