"""Every token of every document is predicted exactly once, from enough before it."""

from hypothesis import given
from hypothesis import strategies as st

from stages.lm.evaluation.windows import Window, batches, windows

LENGTHS = st.lists(st.integers(min_value=1, max_value=80), max_size=12)
CONTEXTS = st.integers(min_value=1, max_value=20)


def test_a_document_that_fits_is_one_window() -> None:
    # context 4: boundary and three ids are read, the fourth id is only predicted
    assert list(windows([4, 2], context_length=4)) == [Window(0, 0, 1, 5), Window(1, 0, 1, 3)]


def test_a_long_document_is_read_in_full_windows_that_advance_by_half_a_context() -> None:
    assert list(windows([9], context_length=4)) == [
        Window(0, start=0, first=1, stop=5),
        Window(0, start=2, first=5, stop=7),
        Window(0, start=4, first=7, stop=9),
        Window(0, start=5, first=9, stop=10),
    ]


def test_windows_advance_by_the_stride() -> None:
    assert list(windows([9], context_length=4, stride=3)) == [
        Window(0, start=0, first=1, stop=5),
        Window(0, start=3, first=5, stop=8),
        Window(0, start=5, first=8, stop=10),
    ]


def test_without_a_context_limit_nothing_is_cut() -> None:
    assert list(windows([1000], context_length=None)) == [Window(0, 0, 1, 1001)]


@given(lengths=LENGTHS, context_length=CONTEXTS, stride=st.none() | st.integers(min_value=1, max_value=20))
def test_every_token_is_predicted_once_from_all_but_a_stride_of_the_context(
    lengths: list[int], context_length: int, stride: int | None
) -> None:
    stride = stride and min(stride, context_length)
    predicted = []
    for window in windows(lengths, context_length, stride):
        assert window.length <= context_length + 1
        for position in range(window.first, window.stop):
            predicted.append((window.document, position))
            history = position - window.start
            assert history == position or history > context_length - (stride or context_length / 2)
    assert predicted == [(document, position) for document, length in enumerate(lengths) for position in range(1, length + 1)]


@given(lengths=LENGTHS, context_length=CONTEXTS, batch_tokens=st.integers(min_value=1, max_value=100))
def test_batches_hold_every_window_and_keep_to_their_size(lengths: list[int], context_length: int, batch_tokens: int) -> None:
    found = []
    for batch in batches(windows(lengths, context_length), batch_tokens):
        padded = len(batch) * max(window.length for window in batch)
        assert len(batch) == 1 or padded <= batch_tokens
        found += batch
    assert sorted(found) == sorted(windows(lengths, context_length))
