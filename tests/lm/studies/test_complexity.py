"""Cost by length: what is counted, the exponents that formulas must have, and who is refused."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from stages.lm.errors import UserError
from stages.lm.models.settings import ModelSettings
from stages.lm.studies.complexity import decoding_seconds, measure
from stages.lm.studies.settings import ComplexityStudy

RNN = {"family": "rnn", "layers": 1, "d_model": 8, "context_length": 8}
GPT = {"family": "transformer", "layers": 1, "heads": 2, "d_model": 8, "context_length": 8}


def settings(values: dict[str, object]) -> Any:
    return TypeAdapter(ModelSettings).validate_python(values)


def test_every_model_has_its_four_series_beside_the_formula() -> None:
    study = ComplexityStudy(kind="complexity", lengths=(16, 64, 256, 1024), decoded=(4, 8, 16), rounds=1)
    stats = measure(study, {"gpt": settings(GPT), "rnn": settings(RNN)}, 11)
    found = {(one["model"], one["quantity"]): one for one in stats["series"]}
    assert len(found) == 8
    assert all(value > 0 for one in found.values() for value in one["measured"])

    def exponents(model: str) -> list[float]:
        names = ("training time", "training memory", "decoding time", "decoding time without cache")
        return [found[model, name]["formula_fit"]["exponent"] for name in names]

    assert exponents("rnn") == pytest.approx([1.0, 1.0, 1.0, 2.0], abs=0.15)  # n, n, n, n (n + 1) / 2
    assert exponents("rnn")[0] == pytest.approx(1.0)
    time, _, cached, uncached = exponents("gpt")
    assert 1.2 < time < 2.0  # n^2 of the scores and n of all else
    assert cached > 1.01
    assert uncached > exponents("rnn")[3]
    memory = found["rnn", "training memory"]
    growth = [(after - before) / (study.lengths[i + 1] - study.lengths[i])
              for i, (before, after) in enumerate(pairwise(memory["measured"]))]  # fmt: skip
    assert growth == pytest.approx([growth[-1]] * 3, rel=0.02)  # bytes, not seconds: no clock is in it
    assert memory["measured"][-1] == pytest.approx(memory["formula"][-1], rel=0.1)


class Reader:
    """Counts the tokens it reads; texts grow from nothing."""

    def __init__(self) -> None:
        self.read = 0

    def start(self, batch: int) -> SimpleNamespace:
        return SimpleNamespace(length=0, batch=batch)

    def advance(self, state: SimpleNamespace, ids: torch.Tensor) -> torch.Tensor:
        self.read += ids.shape[1]
        state.length += ids.shape[1]
        self.longest = state.length
        return torch.zeros(1, 1)


@pytest.mark.parametrize(("with_cache", "expected"), [(True, 9), (False, 45)])
def test_with_a_cache_every_token_is_read_once_and_without_again_for_all_after_it(with_cache: bool, expected: int) -> None:
    reader: Any = Reader()
    decoding_seconds(reader, torch.zeros(1, 10, dtype=torch.long), with_cache)
    assert (reader.read, reader.longest) == (expected, 9)


def test_models_that_count_are_refused() -> None:
    study = ComplexityStudy(kind="complexity", lengths=(4, 8, 16), decoded=(2, 4, 8), rounds=1)
    with pytest.raises(UserError, match=r"models\.t: is of family ngram"):
        measure(study, {"t": settings({"family": "ngram"})}, 11)
