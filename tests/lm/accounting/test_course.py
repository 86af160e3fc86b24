"""The answers to the course's questions: those worked out by hand, and all forty cells of the published table of OPT."""

import pytest

from stages.lm.accounting import course, intensity, opt
from stages.lm.accounting.course_tables import as_text, tables

FAMILY = {
    ("small", "gated"): (190_460_160, 0.76, 3.496e11, (16.6, 11.1, 49.8, 22.6)),
    ("small", "plain"): (162_148_608, 0.65, 2.917e11, (19.9, 13.3, 39.8, 27.1)),
    ("medium", "gated"): (505_629_696, 2.02, 1.0331e12, (20.0, 10.0, 59.9, 10.2)),
    ("medium", "plain"): (404_966_400, 1.62, 8.270e11, (24.9, 12.5, 49.9, 12.8)),
    ("large", "gated"): (1_072_469_760, 4.29, 2.2578e12, (21.4, 8.6, 64.2, 5.8)),
    ("large", "plain"): (836_540_160, 3.35, 1.7746e12, (27.2, 10.9, 54.5, 7.4)),
    ("XL", "gated"): (2_127_057_600, 8.51, 4.5133e12, (22.3, 7.1, 66.9, 3.7)),
    ("XL", "plain"): (1_635_537_600, 6.54, 3.5067e12, (28.7, 9.2, 57.4, 4.7)),
}


def test_the_gpt2_family() -> None:
    rows = course.family()
    assert {(row["model"], row["feed_forward"]) for row in rows} == set(FAMILY)
    for row in rows:
        parameters, gigabytes, flops, shares = FAMILY[row["model"], row["feed_forward"]]
        assert row["parameters"] == parameters
        assert round(row["bytes"] / 1e9, 2) == gigabytes
        assert row["forward_flops"] == pytest.approx(flops, rel=2e-4)
        assert list(row["shares"].values()) == pytest.approx(shares, abs=0.06)


def test_a_long_context_goes_to_the_scores() -> None:
    rows = {row["context_length"]: row for row in course.long_context()}
    long = rows[16_384]
    assert long["forward_flops"] == pytest.approx(1.4952e14, rel=1e-4)
    assert long["forward_flops"] / rows[1024]["forward_flops"] == pytest.approx(33.1, abs=0.05)
    assert list(long["shares"].values()) == pytest.approx((10.8, 55.2, 32.3, 1.8), abs=0.06)


def test_memory_batch_and_days_of_gpt2_xl() -> None:
    literal, gated, plain = course.budget()
    assert [round(row["bytes_per_sequence"] / 1e9, 2) for row in (literal, gated, plain)] == [15.52, 18.03, 15.52]
    assert [round(row["bytes_fixed"] / 1e9, 2) for row in (literal, gated, plain)] == [34.03, 34.03, 26.17]
    assert [row["largest_batch"] for row in (literal, gated, plain)] == [2, 2, 3]
    assert [round(row["days"]) for row in (literal, plain)] == [6584, 5115]
    assert literal["training_flops"] == pytest.approx(5.55e21, rel=1e-3)
    assert literal["update_flops"] == 14 * 2_127_057_600


def test_memory_by_hand() -> None:
    """One block, T = 2, d = 4, h = 2, V = 3: 16 * 8 + 2 * 2 * 4 + 8 + 2 * 6 numbers, 8 * 8 more for the gate."""
    settings = course.gpt2("small").model_copy(update={"layers": 1, "d_model": 4, "heads": 2, "d_ff": 16, "context_length": 2})
    memory = course.adamw_memory(settings, 3)
    assert memory.sequence == 4 * (16 * 8 + 2 * 2 * 4 + 8 + 2 * 6)
    assert course.adamw_memory(settings, 3, with_gate=True).sequence - memory.sequence == 4 * 8 * 8
    assert [memory.largest_batch(memory.fixed + room) for room in (-1, 0, 2 * memory.sequence)] == [0, 0, 2]


@pytest.mark.parametrize("name", opt.SIZES)
def test_every_published_cell_of_opt_follows_from_its_formula(name: str) -> None:
    size = opt.SIZES[name]
    found = opt.as_published(size)
    assert f"{found.total:.1e}".replace("e+", "e") == size.published.flops
    shown = [f"{share:.{digits}f}%" for share, digits in zip(found.shares, (0, 0, 1, 1), strict=True)]
    assert shown == list(size.published.shares)


def test_the_right_shares_of_opt() -> None:
    small, large = (opt.right(opt.SIZES[name]).shares for name in ("760M", "175B"))
    assert (small[0] + small[2], large[0] + large[2]) == pytest.approx((42.5, 35.0), abs=0.06)
    assert (small[1], large[1]) == pytest.approx((50.9, 64.7), abs=0.06)
    assert (small[2], large[2]) == pytest.approx((17.0, 2.7), abs=0.06)
    assert (small[3], large[3]) == pytest.approx((6.6, 0.3), abs=0.06)
    assert all(opt.right(size).parts[1] == 2 * opt.right(size).parts[0] for size in opt.SIZES.values())


def test_the_formula_for_the_projections_by_hand() -> None:
    """32 d^2 is what four passes take; the published formula has 8 d^2 and, once more, twice the scores' 16 s d."""
    size = opt.SIZES["175B"]
    d, s, tokens, layers = 12_288, 2048, 2**21, 96
    assert opt.right(size).parts[0] == 32 * d * d * layers * tokens
    assert opt.as_published(size).parts[0] == (8 * d * d + 2 * 16 * s * d) * layers * tokens


def test_six_nd_misses_the_scores_alone() -> None:
    """GPT-3: 12 s d operations for each layer and token, but for 9 d biases that are added, not multiplied."""
    (row,) = [row for row in course.six_nd() if row["model"] == "GPT-3 175B"]
    assert row["exact"] - row["products"] == (12 * 2048 - 6 * 9) * 12_288 * 96
    assert row["all_error"] == pytest.approx(-2.7, abs=0.05)
    assert all(row["products_error"] <= row["all_error"] < 0 for row in course.six_nd())


def test_intensity_of_a_product_by_hand() -> None:
    """(2, 3) (3, 4): 48 operations; 6, 12 and 8 numbers of 2 bytes."""
    assert intensity.product(2, 3, 4) == (48, 52)
    assert intensity.product(1024, 1024, 1024).intensity == pytest.approx(1024 / 3)


def test_intensity_of_decoding_is_the_batch_for_weights_and_one_for_the_cache() -> None:
    found = course.intensities()
    assert [row["weights"] for row in found["decoding"]] == list(course.BATCHES)
    assert [row["cache"] for row in found["decoding"]] == [1] * len(course.BATCHES)
    shared = course.gpt2("XL").model_copy(update={"kv_heads": 5})
    assert intensity.decoding(shared, course.VOCAB, 4, 100)["cache"].intensity == 5  # as many as read a head
    assert round(found["devices"]["H100"]) == 295


def test_intensity_of_training() -> None:
    """GPT-2 XL: a query's scores, 64 wide, are read and written too often; in one kernel they are not."""
    found = course.intensities()["training"]
    assert found["attention_scores"] == pytest.approx(1024 * 64 / (1024 + 2 * 64))
    assert found["attention_scores, in one kernel"] == 1024 / 2
    assert found["attention_scores"] < found["attention_projections"] < found["feed_forward"]


def test_the_tables_say_it() -> None:
    shown = as_text(tables(course.answers()))
    for said in ("15.52 B + 34.03 GB", "6,584", "5,115", "1.495e+14", "55.2 %", "2,127,057,600"):
        assert said in shown
