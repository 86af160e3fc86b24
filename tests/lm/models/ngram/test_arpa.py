"""ARPA files: round trips, the compiled writer, what is refused, and KenLM reading them where it is installed."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lm.errors import UserError
from stages.lm.models.ngram import arpa
from stages.lm.models.ngram.backoff import Table, probabilities
from stages.lm.models.ngram.compiled.arpa import write_ngrams
from stages.lm.models.ngram.counts import count
from stages.lm.models.ngram.estimation import smooth
from stages.lm.models.settings import NgramSettings

WORDS = ["<|endoftext|>", "a", "bb", "long-winded", "é", "unseen"]
SMOOTHINGS = ["kneser-ney", "mle", "add-k", "stupid-backoff"]
DOCUMENTS = st.lists(st.lists(st.integers(1, 4), max_size=12), min_size=1, max_size=20)


def tables(documents: list[list[int]], order: int, smoothing: str = "kneser-ney") -> list[Table]:
    ids = np.array([token for document in documents for token in [*document, 0]], np.uint16)
    return smooth(count(ids, order, len(WORDS)), 0, NgramSettings.model_validate({"family": "ngram", "smoothing": smoothing}))


@given(DOCUMENTS, st.integers(1, 4), st.sampled_from(SMOOTHINGS))
def test_a_file_that_is_read_and_written_is_the_same_again(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], order: int, smoothing: str
) -> None:
    folder, model = tmp_path_factory.mktemp("arpa"), tables(documents, order, smoothing)
    arpa.write_arpa(folder / "one", model, WORDS, 0)
    again = arpa.read_arpa(folder / "one", WORDS, 0)
    arpa.write_arpa(folder / "two", again, WORDS, 0)
    assert (folder / "two").read_bytes() == (folder / "one").read_bytes()
    text = np.array([[0, 1, 2, 5, 3, 1, 0], [0, 4, 4, 1, 1, 2, 0]])
    assert probabilities(again, text) == pytest.approx(probabilities(model, text), rel=1e-6)


@settings(deadline=None)  # the first example compiles
@given(DOCUMENTS, st.integers(2, 5), st.sampled_from(SMOOTHINGS))
def test_the_compiled_writer_writes_the_same_bytes(documents: list[list[int]], order: int, smoothing: str) -> None:
    model = tables(documents, order, smoothing)
    for n in range(2, order + 1):
        plain, fast = io.BytesIO(), io.BytesIO()
        arpa._write_ngrams(plain, model[:n], WORDS, 0)
        write_ngrams(fast, model[:n], WORDS, 0)
        assert fast.getvalue() == plain.getvalue()


def test_blocks_of_lines_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.lm.models.ngram.compiled.arpa.BLOCK", 7)
    rng = np.random.default_rng(0)
    model = tables(rng.integers(1, 6, size=(30, 20)).tolist(), 4)
    plain, fast = io.BytesIO(), io.BytesIO()
    arpa._write_ngrams(plain, model, WORDS, 0)
    write_ngrams(fast, model, WORDS, 0)
    assert fast.getvalue() == plain.getvalue()


def test_numbers_by_hand() -> None:
    values = np.array([1, 0.1, 0.5, 0, 2, 1e-12], np.float32)
    scaled = arpa.scaled_logarithms(values).tolist()
    assert [arpa.number(value) for value in scaled] == ["0", "-1.0000000", "-0.3010300", "-99", "0.3010300", "-12.0000000"]


def test_a_file_by_hand(tmp_path: Path) -> None:
    """A bigram model with a missing weight, a missing token and a word outside the vocabulary."""
    text = (
        "made by hand\n\n\\data\\\nngram 1=6\nngram 2=3\n\n\\1-grams:\n-2\t<unk>\n-99\t<s>\t-0.5\n-1\t</s>\n-0.5\ta\t-0.25\n"
        "-1.5\tbb\n-3\tother\t-1\n\n\\2-grams:\n-0.125 <s> a\n-0.75 a </s>\n-1 other a\n\n\\end\\\n"
    )
    file = tmp_path / "model.arpa"
    file.write_text(text)
    model = arpa.read_arpa(file, WORDS, 0)
    found = np.log10(probabilities(model, np.array([[0, 1, 2, 3, 0], [0, 2, 1, 0, 0]])))[:, 1:]
    # <s> a; a bb by back-off; bb é(unknown), bb has no weight; the end
    assert found[0] == pytest.approx([-0.125, -0.25 - 1.5, -2, -1], abs=1e-6)
    assert found[1] == pytest.approx([-0.5 - 1.5, -0.5, -0.75, -0.5 - 1], abs=1e-6)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (("\\data\\", "data"), "no ARPA file"),
        (("\\end\\", ""), "ends before"),
        (("ngram 2=", "ngram 3="), "should be `ngram 2=NUMBER`"),
        (("\\2-grams:", "\\3-grams:"), "2-grams: comes here"),
        (("<s> a", "<s> a a a"), "should be a 2-gram"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: tuple[str, str], message: str) -> None:
    file = tmp_path / "model.arpa"
    arpa.write_arpa(file, tables([[1, 2, 1], [1]], 2), WORDS, 0)
    text = file.read_text()
    assert damage[0] in text
    file.write_text(text.replace(*damage))
    with pytest.raises(UserError, match=message):
        arpa.read_arpa(file, WORDS, 0)
