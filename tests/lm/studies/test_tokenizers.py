"""The study of tokenizers: numbers worked by hand, and trainers that all learn the same."""

import pytest

from stages.lm.studies import bpe_training
from stages.lm.studies.settings import TokenizerStudy
from stages.lm.studies.tokenizers import compare, fitting, growth, read_prefix, throughput
from stages.lm.tokenizers.symbols import SymbolTokenizer
from stages.lm.tokenizers.training import byte_tokenizer

EOT = "<|endoftext|>"
WORDS = SymbolTokenizer(["hello", " "], [EOT], r"\w+|.")


def test_compression_of_two_documents() -> None:
    bytes_row, words_row = compare({"bytes": byte_tokenizer([EOT]), "words": WORDS}, {"toy": ["hello é", "hello"]})
    found = bytes_row["corpora"]["toy"]
    assert (found["bytes"], found["tokens"], found["bytes_per_token"], found["tokens_per_document"]) == (13, 13, 1.0, 6.5)
    assert found["unknown"] is None
    found = words_row["corpora"]["toy"]
    assert (found["tokens"], found["unknown"], found["bytes_per_token"]) == (4, 1, 13 / 4)
    assert words_row["longest_tokens"] == ["hello", " "]


def test_the_first_documents_until_they_are_enough() -> None:
    assert read_prefix(["ab", "cd", "ef"], 4) == "ab\ncd"
    assert read_prefix(["ab"], 100) == "ab"
    assert fitting([2, 4, 8], "é..") == [2, 4]


def test_growth_counts_different_words_and_characters() -> None:
    found = growth("a b a b ccc é", [3, 7, 13])
    assert found["words"]["distinct"] == [3, 3, 4]  # a, the space, b; then ccc; é ends beyond
    assert found["characters"]["distinct"] == [3, 3, 4]
    assert growth("ab cd ef gh " * 9, [4, 8, 16])["words"]["fit"]["exponent"] > 0


def test_throughput_is_of_all_tokenizers_and_makes_days() -> None:
    found = throughput({"bytes": byte_tokenizer([EOT]), "words": WORDS}, ["hello hello"], 1)
    assert [row["tokenizer"] for row in found] == ["bytes", "words"]
    for row in found:
        assert row["pile_days"] * 86_400 * row["bytes_per_second"] == pytest.approx(825e9)


def test_trainers_are_timed_in_parts() -> None:
    study = TokenizerStudy(kind="tokenizers", vocab_size=258, sizes=(64, 128, 256), naive_bytes=256, rounds=1)
    series = bpe_training.measure(study, "once upon a time there was a fox " * 10, [64, 128, 256])
    assert [one["trainer"] for one in series] == ["naive", "heap", "compiled"]
    for one in series:
        assert one["bytes"] == [64, 128, 256]
        assert one["seconds"] == [sum(parts) for parts in zip(*one["parts"].values(), strict=True)]
        assert all(seconds > 0 for seconds in one["seconds"])


def test_the_naive_trainer_stops_where_it_is_told() -> None:
    study = TokenizerStudy(kind="tokenizers", vocab_size=258, sizes=(16, 32, 64, 128), naive_bytes=64, rounds=1)
    naive, heap, _ = bpe_training.measure(study, "once upon a time " * 10, [16, 32, 64, 128])
    assert naive["bytes"] == [16, 32, 64]
    assert heap["bytes"] == [16, 32, 64, 128]
