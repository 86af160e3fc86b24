"""Reading word vectors: which words there are, which lie near, what completes an analogy, and a picture in two dimensions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.inference.loading import Trained

FEWEST = 5
"""How often a token has to occur to be counted among the words."""


class Words:
    """The tokens that have letters and are not rare, the most frequent first, with their vectors scaled to length 1."""

    def __init__(self, trained: Trained, texts: TextTokenizer, counts: NDArray[np.int64]) -> None:
        """`counts` (vocab): how often each token occurs. Raises UserError where there are fewer than four words."""
        model: Any = trained.model
        special = {*texts.special_tokens.values(), texts.unknown}
        order = np.argsort(-counts, kind="stable")
        names = {int(index): texts.vocab[int(index)].decode(errors="replace") for index in order if counts[index] >= FEWEST}
        self.ids = [index for index, name in names.items() if index not in special and any(map(str.isalpha, name))]
        if len(self.ids) < 4:
            raise UserError(f"fewer than four words occur {FEWEST} times; train word vectors on more text")
        self.names = [names[index].strip() for index in self.ids]
        vectors = model.token_embeddings.weight.detach().cpu().double().numpy()[self.ids]
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # (words, d_model)

    def find(self, word: str) -> int:
        """The place of a word. Raises UserError where it is none of them."""
        if word not in self.names:
            raise UserError(f"{word!r} is no word of this vocabulary that occurs at least {FEWEST} times; name another")
        return self.names.index(word)

    def neighbours(self, place: int, count: int) -> list[tuple[str, float]]:
        """The words whose vectors have the smallest angle to that of a word, with the cosine of it."""
        likeness = self.vectors @ self.vectors[place]
        likeness[place] = -np.inf
        nearest = np.argsort(-likeness, kind="stable")[:count]
        return [(self.names[index], float(likeness[index])) for index in nearest]

    def analogy(self, a: str, b: str, c: str) -> str:
        """What is to c as b is to a: the word nearest to b - a + c, these three left out (Mikolov et al. 2013)."""
        asked = [self.find(word) for word in (a, b, c)]
        likeness = self.vectors @ (self.vectors[asked[1]] - self.vectors[asked[0]] + self.vectors[asked[2]])
        likeness[asked] = -np.inf
        return self.names[int(likeness.argmax())]

    def picture(self, count: int) -> tuple[list[str], NDArray[np.float64], float]:
        """The most frequent words in the plane in which their vectors differ most (principal components, by singular values).

        Returns the words, their coordinates (words, 2), and the share of the variance that the plane shows.
        """
        centred = self.vectors[:count] - self.vectors[:count].mean(axis=0)
        left, singular, _ = np.linalg.svd(centred, full_matrices=False)
        points = left[:, :2] * singular[:2]
        points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)  # a sign that does not depend on the library
        return self.names[:count], points, float((singular[:2] ** 2).sum() / (singular**2).sum())
