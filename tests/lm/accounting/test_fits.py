"""What does not fit is refused, with what would: the advice is checked by the estimate itself."""

import re
from typing import Any

import pytest

from stages.lm.accounting.fits import check, largest, peak_memory
from stages.lm.accounting.settings import EstimateSettings, SpreadSettings
from stages.lm.accounting.sizes import memory_size
from stages.lm.errors import UserError
from stages.lm.training.settings import TrainingSettings
from tests.lm.models.variants import settings

VOCAB = 500


def training(**changes: Any) -> EstimateSettings:
    return EstimateSettings(model=settings(context_length=64), training=TrainingSettings(batch_size=64, **changes))


def refused(given: EstimateSettings, limit: int) -> str:
    with pytest.raises(UserError) as caught:
        check("experiments.gpt", given, VOCAB, peak_memory(given, VOCAB), limit)
    return str(caught.value)


def test_amounts_of_memory() -> None:
    assert [memory_size(text) for text in ("80GB", "1.5 GiB", "300 MB")] == [80 * 10**9, 3 * 2**29, 3 * 10**8]
    for wrong in ("80", "80G", "GB", "-1GB", "0GB"):
        with pytest.raises(ValueError, match="as in 80GB"):
            memory_size(wrong)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_micro_batch_that_is_advised_fits_and_one_more_does_not(share: float) -> None:
    whole = peak_memory(training(), VOCAB) or 0
    limit = int(share * whole)
    said = refused(training(), limit)
    advised = int(re.findall(r"training\.micro_batch_size: (\d+) needs", said)[0])
    fits, more = (peak_memory(training(micro_batch_size=size), VOCAB) or 0 for size in (advised, advised + 1))
    assert fits <= limit < more
    assert said.startswith(
        f"experiments.gpt: training needs {whole / 1e6:.2f} MB at its peak, more than the {limit / 1e6:.2f} MB"
    )


def test_checkpointing_is_advised_where_one_sequence_is_too_much() -> None:
    limit = (peak_memory(training(micro_batch_size=1), VOCAB) or 0) - 1
    said = refused(training(), limit)
    assert "training.activation_checkpointing: true with training.micro_batch_size: " in said
    size = int(said.split("micro_batch_size: ")[1].split()[0])
    assert (peak_memory(training(micro_batch_size=size, activation_checkpointing=True), VOCAB) or 0) <= limit


def test_a_model_that_is_too_large_in_any_case_is_told_so() -> None:
    assert "even one sequence at a time needs" in refused(training(), 1000)


def spread(given: EstimateSettings, engine: Any, processes: int = 4) -> EstimateSettings:
    return given.model_copy(update={"spread": SpreadSettings(processes=processes, engine=engine)})


def test_several_devices_share_the_batch_and_by_fsdp_the_model() -> None:
    """Of 16 bytes a parameter each of four holds 4, and what is put together."""
    alone, ddp = (peak_memory(one, VOCAB) or 0 for one in (training(), spread(training(), "ddp")))
    quarter = training().model_copy(update={"training": TrainingSettings(batch_size=16)})
    assert alone > ddp == pytest.approx(peak_memory(quarter, VOCAB), rel=0.1)
    large = EstimateSettings(model=settings(d_model=256, layers=8, context_length=16), training=TrainingSettings(batch_size=4))
    whole, shards = (peak_memory(spread(large, engine), VOCAB) or 0 for engine in ("ddp", "fsdp"))
    assert 0.25 * whole < shards < 0.5 * whole


def test_shards_are_advised_where_no_micro_batch_fits() -> None:
    large = EstimateSettings(model=settings(d_model=256, layers=8, context_length=16), training=TrainingSettings(batch_size=4))
    limit = (peak_memory(spread(large, "fsdp"), VOCAB) or 0) + 1
    said = refused(spread(large, "ddp"), limit)
    assert "at its peak on each of 4 devices, more than" in said
    assert "; execution.engine: fsdp with training.micro_batch_size: 1 needs " in said


def test_micro_batches_that_the_run_chooses_may_be_as_small_as_one_sequence() -> None:
    one = peak_memory(training(micro_batch_size=1), VOCAB) or 0
    auto = training(micro_batch_size="auto")
    assert peak_memory(auto, VOCAB) == peak_memory(training(), VOCAB)
    check("a", auto, VOCAB, peak_memory(auto, VOCAB), one)
    assert "even one sequence at a time needs" in refused(auto, 1000)


def test_what_fits_or_is_unknown_passes() -> None:
    check("a", training(), VOCAB, peak_memory(training(), VOCAB), 10**12)
    check("a", training(), VOCAB, None, 1)


@pytest.mark.parametrize("limit", [0, 99, 100, 109, 110, 555, 739, 740, 10_000])
def test_the_largest_of_a_line_with_a_bend_is_found_in_few_steps(limit: int) -> None:
    """100 + 10 b, and 20 more from b = 8 on."""
    asked: list[int] = []

    def peak(size: int) -> int:
        asked.append(size)
        return 100 + 10 * size + 20 * (size >= 8)

    expected = max((size for size in range(1, 65) if peak(size) <= limit), default=0)
    asked.clear()
    assert largest(peak, 64, limit) == expected
    assert len(asked) <= 6
