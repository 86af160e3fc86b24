"""What the length of a text costs: time and memory of training, and of decoding, measured and fitted beside the formula.

For n tokens and width d, per layer (Vaswani et al. 2017, table 1): self-attention takes O(n^2 d) operations for its scores and
O(n d^2) for its projections, a recurrent layer O(n d^2), a feed-forward network O(n d d_ff). Decoding n tokens by reading the
whole text anew for each takes n times that; with a cache, or a state, each token is read once.

Times are those of one thread's processor clock, so that other work on the machine counts little.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from stages.lm.accounting.flops import PASSES, forward_flops_per_token
from stages.lm.accounting.memory import kept_activations
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.interface import LanguageModel
from stages.lm.models.settings import ModelSettings
from stages.lm.progress import progress
from stages.lm.studies.power_law import fit_power_law
from stages.lm.studies.settings import ComplexityStudy
from stages.lm.training.settings import TrainingSettings


class Series(NamedTuple):
    """One quantity of one model by length."""

    model: str
    quantity: str
    lengths: tuple[int, ...]
    measure: Callable[[int], float]
    formula: Callable[[int], float]
    """What the accounting says, in operations or bytes."""


def measure(study: ComplexityStudy, models: Mapping[str, ModelSettings], vocab_size: int) -> dict[str, Any]:
    """All series, each measured at every length in every round, with the exponents of the measured values and of the formula."""
    torch.set_num_threads(1)
    series = [one for name, settings in models.items() for one in _series(study, name, settings, vocab_size)]
    values: dict[tuple[int, int], list[float]] = {}
    with progress("study", len(series) + study.rounds * sum(len(one.lengths) for one in series), " measurements") as bar:
        for number in range(study.rounds + 1):
            for index, one in enumerate(series):
                for length in one.lengths if number else one.lengths[:1]:  # a first round of the shortest warms up
                    value = one.measure(length)
                    if number:
                        values.setdefault((index, length), []).append(value)
                    bar.update(1)
    results = [_result(one, [median(values[index, length]) for length in one.lengths]) for index, one in enumerate(series)]
    return {"kind": study.kind, "rounds": study.rounds, "series": results}


def _result(series: Series, measured: list[float]) -> dict[str, Any]:
    formula = [float(series.formula(length)) for length in series.lengths]
    return {
        "model": series.model,
        "quantity": series.quantity,
        "lengths": list(series.lengths),
        "measured": measured,
        "formula": formula,
        "fit": fit_power_law(series.lengths, measured),
        "formula_fit": fit_power_law(series.lengths, formula),
    }


def _series(study: ComplexityStudy, name: str, settings: ModelSettings, vocab_size: int) -> list[Series]:
    """The quantities of one model. Raises UserError for models that count or are no language models."""
    if settings.trained_by != "gradient" or settings.task != "language model":
        raise UserError(f"models.{name}: is of family {settings.family}; name language models that are trained by gradients")
    described: Any = settings

    def built(length: int) -> LanguageModel:
        return registry.build(described.model_copy(update={"context_length": length}), vocab_size, study.seed)

    def per_token(length: int) -> int:
        return forward_flops_per_token(described, vocab_size, length)["total"]

    def kept(length: int) -> int:
        longer = described.model_copy(update={"context_length": length})
        return kept_activations(longer, TrainingSettings(batch_size=1, device="cpu"), vocab_size)["total"]

    def series(quantity: str, lengths: tuple[int, ...], work: Callable[..., float], formula: Callable[[int], float]) -> Series:
        return Series(name, quantity, lengths, lambda n: work(built(n), _ids(n + 1, vocab_size, study.seed)), formula)

    return [
        series("training time", study.lengths, training_seconds, lambda n: PASSES * n * per_token(n)),
        series("training memory", study.lengths, training_bytes, kept),
        series("decoding time", study.decoded, decoding_seconds, lambda n: sum(map(per_token, range(1, n + 1)))),
        series(
            "decoding time without cache",
            study.decoded,
            partial(decoding_seconds, with_cache=False),
            lambda n: sum(t * per_token(t) for t in range(1, n + 1)),
        ),
    ]


def training_seconds(model: LanguageModel, ids: Tensor) -> float:
    """Forward and backward pass over one sequence: ids (1, n + 1)."""
    module = cast(Any, model)

    def step() -> None:
        module.zero_grad()
        module.total_loss(ids).backward()

    step()  # memory is taken from the system once
    return _seconds(step)


def training_bytes(model: LanguageModel, ids: Tensor) -> float:
    """What autograd keeps of the forward pass over one sequence for the backward pass, parameters and ids not counted."""
    module = cast(Any, model)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), ids)}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = module.total_loss(ids)  # alive until all is added up: a place that is freed could be counted for another tensor
        found = sum(kept.values())
    del loss
    return found


def decoding_seconds(model: LanguageModel, ids: Tensor, with_cache: bool = True) -> float:
    """Read ids (1, n + 1) but for the last, token by token, with the distribution of the next after each."""

    def decode() -> None:
        state = model.start(1)
        for length in range(1, ids.shape[1]):
            if not with_cache:
                state = model.start(1)
            model.advance(state, ids[:, length - 1 : length] if with_cache else ids[:, :length])

    with torch.inference_mode():
        return _seconds(decode)


def _seconds(work: Callable[[], None]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _ids(length: int, vocab_size: int, seed: int) -> Tensor:
    return torch.randint(vocab_size, (1, length), generator=torch.Generator().manual_seed(seed))
