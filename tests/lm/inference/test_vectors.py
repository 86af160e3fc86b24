"""Neighbours, analogies and the picture of vectors that are known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from stages.lm.bpe.pretokenization import WORDS
from stages.lm.errors import UserError
from stages.lm.evaluation.settings import VectorEvaluationSettings
from stages.lm.evaluation.vectors import vector_statistics
from stages.lm.inference.loading import Trained
from stages.lm.inference.vectors import Words
from stages.lm.tokenizers.symbols import SymbolTokenizer

NAMES = ["man", "king", "woman", "queen", " ", "apple", "rare"]
VECTORS = {"man": (1, 0, 0), "king": (1, 0, 1), "woman": (0, 1, 0), "queen": (0, 1, 1), "apple": (-1, -1, 0.1)}


@pytest.fixture
def words() -> Words:
    texts = SymbolTokenizer(NAMES, ["<|endoftext|>"], WORDS)
    table = torch.ones(texts.vocab_size, 3)
    for name, vector in VECTORS.items():
        table[texts.encode(name)[0]] = torch.tensor(vector, dtype=torch.float32)
    counts = np.array([9, 9, 50, 40, 30, 20, 900, 10, 4])  # of the end of text, the unknown token, and the names
    model: Any = SimpleNamespace(token_embeddings=SimpleNamespace(weight=table))
    return Words(Trained(model, 0, torch.device("cpu"), ""), texts, counts)


def test_words_have_letters_and_are_frequent(words: Words) -> None:
    assert words.names == ["man", "king", "woman", "queen", "apple"]
    with pytest.raises(UserError, match="'rare' is no word of this vocabulary"):
        words.find("rare")


def test_neighbours_by_the_angle(words: Words) -> None:
    assert words.neighbours(0, 2) == [("king", pytest.approx(0.5**0.5)), ("woman", pytest.approx(0.0))]


def test_analogies(words: Words) -> None:
    settings = VectorEvaluationSettings(analogies=["man king woman queen", "man woman king apple"])
    stats = vector_statistics(1.5, words, settings)
    assert [one["found"] for one in stats["analogies"]] == ["queen", "queen"]
    assert (stats["accuracy"], stats["chance"]) == (0.5, 0.5)


def test_the_picture_shows_the_two_main_directions(words: Words) -> None:
    """Against the eigenvectors of the covariance."""
    names, points, shown = words.picture(5)
    centred = words.vectors - words.vectors.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    expected = centred @ vectors[:, [2, 1]]
    assert names == words.names
    assert np.abs(points) == pytest.approx(np.abs(expected))
    assert shown == pytest.approx(values[1:].sum() / values.sum())
    assert (points[np.abs(points).argmax(axis=0), [0, 1]] > 0).all()
