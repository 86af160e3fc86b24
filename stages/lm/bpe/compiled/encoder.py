"""The compiled encoder of a tokenizer: its tables, and memory for each thread that encodes."""

import queue
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.compiled.characters import kinds
from stages.lm.bpe.compiled.encoding import ROOM, encode_documents
from stages.lm.bpe.compiled.memory import PADDING
from stages.lm.bpe.compiled.merging import Merges
from stages.lm.bpe.compiled.pairs import NO_RANK, PairTable
from stages.lm.bpe.compiled.special import SpecialTokens
from stages.lm.bpe.compiled.wordcache import new_cache
from stages.lm.bpe.compiled.words import NAMES
from stages.lm.bpe.interface import utf8
from stages.lm.bpe.tokenizer import Tokenizer

Array = npt.NDArray[Any]


def can_encode(tokenizer: Tokenizer) -> bool:
    """Whether the pattern has a compiled twin, and every byte an id."""
    return tokenizer.pattern in NAMES and len(tokenizer.byte_ids) == 256 and len(tokenizer.merges) + 256 < int(NO_RANK)


class Encoder:
    """Encodes what its tokenizer encodes, to the same ids. Several threads may use one encoder at the same time."""

    def __init__(self, tokenizer: Tokenizer, special_tokens: Collection[str]) -> None:
        """`special_tokens`: those that become their ids; others are ordinary text."""
        self.dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
        self._arrays: list[Array] = []
        self._pattern = NAMES[tokenizer.pattern]
        self._kinds = self._keep(kinds())
        self._merges = self._merge_tables(tokenizer)
        self._special = SpecialTokens({token: tokenizer.special_tokens[token] for token in special_tokens})
        self._idle: queue.SimpleQueue[Workspace] = queue.SimpleQueue()

    def encode(self, text: bytes | memoryview | Array, offsets: Array, end_id: int = -1) -> tuple[Array, Array]:
        """The ids of documents one after the other, and how many each has.

        `text`: UTF-8, of which document i is the bytes offsets[i] to offsets[i + 1] (int64). `end_id` is put behind each document
        if it is not negative. The ids are a copy, in the smallest type that holds the vocabulary.
        """
        source = np.frombuffer(text, np.uint8)[offsets[0] : offsets[-1]]
        counts = np.zeros(len(offsets) - 1, np.int64)
        with self._workspace() as space:
            space.reserve(len(source), len(source) + len(counts), self.dtype)
            space.text[: len(source)] = source
            total = encode_documents(
                self._pattern,
                self._kinds,
                self._merges,
                self._special.tables,
                space.cache,
                space.text.ctypes.data,
                offsets - offsets[0],
                space.ids.ctypes.data,
                counts,
                end_id,
            )
            return space.ids[:total].copy(), counts

    def encode_one(self, text: bytes) -> Array:
        """The ids of one document."""
        return self.encode(text, np.array([0, len(text)]))[0]

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        data = [utf8(text) for text in texts]
        ids, counts = self.encode(b"".join(data), np.cumsum([0, *map(len, data)]))
        return [part.tolist() for part in np.split(ids, np.cumsum(counts)[:-1])]

    @contextmanager
    def _workspace(self) -> Iterator["Workspace"]:
        try:
            space = self._idle.get_nowait()
        except queue.Empty:
            space = Workspace()
        try:
            yield space
        finally:
            self._idle.put(space)

    def _keep(self, array: Array) -> int:
        """The address of an array, which lives as long as this encoder."""
        self._arrays.append(array)
        return int(array.ctypes.data)

    def _merge_tables(self, tokenizer: Tokenizer) -> Merges:
        pairs = np.fromiter(chain.from_iterable(tokenizer.merge_ranks), np.int64).reshape(-1, 2)
        ranks, merged = np.fromiter(chain.from_iterable(tokenizer.merge_ranks.values()), np.int64).reshape(-1, 2).T
        ids = np.full(256 + len(tokenizer.merges), -1)
        ids[:256] = [tokenizer.byte_ids[byte] for byte in range(256)]
        ids[256 + ranks] = merged
        left, origin = symbols_of(pairs[:, 0], ids)
        right, again = symbols_of(pairs[origin, 1], ids)
        left, ranks = left[again], ranks[origin][again]
        byte_ranks, joins = np.full((256, 256), NO_RANK, np.uint32), np.zeros((256, 256), np.uint8)
        of_bytes = (left < 256) & (right < 256)
        byte_ranks[left[of_bytes], right[of_bytes]] = ranks[of_bytes]
        for left_token, right_token in tokenizer.merges:
            joins[left_token[-1], right_token[0]] = 1
        self._pairs = PairTable(left, right, ranks)
        addresses = self._keep(ids.astype(np.uint32)), self._keep(byte_ranks), self._keep(joins)
        return Merges(*addresses, self._pairs.tables, self.dtype.itemsize)


def symbols_of(wanted: Array, ids: Array) -> tuple[Array, Array]:
    """The symbols of the wanted ids, and which id each of them is of: an id that several merges make has as many symbols."""
    order = np.argsort(ids, kind="stable")
    number_of = np.bincount(ids + 1, minlength=int(wanted.max(initial=0)) + 2)
    begin_of = np.cumsum(number_of) - number_of
    numbers, begins = number_of[wanted + 1], begin_of[wanted + 1]
    origin = np.repeat(np.arange(len(wanted)), numbers)
    return order[np.arange(len(origin)) + np.repeat(begins - (np.cumsum(numbers) - numbers), numbers)], origin


class Workspace:
    """What one thread needs: a text buffer with padding, a buffer of ids, and the cache of words."""

    def __init__(self) -> None:
        self.text: Array = np.zeros(PADDING, np.uint8)
        self.ids: Array = np.zeros(0, np.uint16)
        self.cache, self._arrays = new_cache()

    def reserve(self, text_bytes: int, ids: int, dtype: np.dtype[Any]) -> None:
        """Make room for a text and its ids; a slot may be copied past the last id."""
        if len(self.text) < text_bytes + PADDING:
            self.text = np.zeros(text_bytes + PADDING, np.uint8)
        if len(self.ids) < ids + ROOM or self.ids.dtype != dtype:
            self.ids = np.empty(ids + ROOM, dtype)
