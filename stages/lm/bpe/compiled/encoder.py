"""The compiled encoder of a tokenizer: its tables, and memory for each thread that encodes."""

import queue
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.compiled.cache import announce
from stages.lm.bpe.compiled.characters import kinds
from stages.lm.bpe.compiled.encoding import LINE, LONG_SLOT, Cache, encode_documents
from stages.lm.bpe.compiled.memory import PADDING
from stages.lm.bpe.compiled.merging import EMPTY, NONE, SCRATCH, Merges, fill_pairs
from stages.lm.bpe.compiled.special import SpecialTokens
from stages.lm.bpe.compiled.words import NAMES
from stages.lm.bpe.tokenizer import Tokenizer, utf8

FRONT_BITS, CACHE_BITS, LONG_BITS = 13, 18, 12
"""A thread remembers up to 2^19 words (16 MB), of which 2^14 in front (0.5 MB), and 2^12 long ones (1 MB)."""

Array = npt.NDArray[Any]


def can_encode(tokenizer: Tokenizer) -> bool:
    """Whether the pattern has a compiled twin, and every byte an id."""
    return tokenizer.pattern in NAMES and len(tokenizer.byte_ids) == 256 and tokenizer.vocab_size < 1 << 26


class Encoder:
    """Encodes what its tokenizer encodes, to the same ids. Several threads may use one encoder at the same time."""

    def __init__(self, tokenizer: Tokenizer, special_tokens: Collection[str]) -> None:
        """`special_tokens`: those that become their ids; others are ordinary text."""
        announce(encode_documents)
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
        found = tokenizer.merge_ranks
        byte_ids = np.array([tokenizer.byte_ids[byte] for byte in range(256)], np.uint32)
        keys = np.array([left << 32 | right for left, right in found], np.uint64)
        values = np.array([rank << 38 | merged << 6 for rank, merged in found.values()], np.uint64)
        bits = max(4, (2 * len(found)).bit_length())
        byte_pairs = np.full((256, 256), NONE, np.uint64)
        byte_of = {index: byte for byte, index in tokenizer.byte_ids.items()}
        for (left, right), value in zip(found, values, strict=True):
            if left in byte_of and right in byte_of:
                byte_pairs[byte_of[left], byte_of[right]] = value
        table = self._keep(np.full(2 << bits, EMPTY, np.uint64))
        merges = Merges(self._keep(byte_ids), self._keep(byte_pairs), table, 64 - bits, self.dtype.itemsize)
        fill_pairs(merges, keys, values)
        return merges


class Workspace:
    """What one thread needs: a text buffer with padding, a buffer of ids, and the cache of words."""

    def __init__(self) -> None:
        self.text: Array = np.zeros(PADDING, np.uint8)
        self.ids: Array = np.zeros(0, np.uint16)
        lengths = np.arange(16)
        masks = [[(1 << 8 * min(n, 8)) - 1, (1 << 8 * max(n - 8, 0)) - 1] for n in lengths.tolist()]
        self._arrays: list[Array] = [
            np.zeros(LINE << FRONT_BITS, np.uint8),
            np.zeros(LINE << CACHE_BITS, np.uint8),
            np.zeros(LONG_SLOT << LONG_BITS, np.uint8),
            np.zeros(SCRATCH, np.uint8),
            np.array(masks, np.uint64),
        ]
        front, lines, long, scratch, key_masks = (array.ctypes.data for array in self._arrays)
        self.cache = Cache(front, 64 - FRONT_BITS, lines, 64 - CACHE_BITS, long, 64 - LONG_BITS, scratch, key_masks)

    def reserve(self, text_bytes: int, ids: int, dtype: np.dtype[Any]) -> None:
        """Make room for a text and its ids; a slot may be copied past the last id."""
        if len(self.text) < text_bytes + PADDING:
            self.text = np.zeros(text_bytes + PADDING, np.uint8)
        if len(self.ids) < ids + LONG_SLOT or self.ids.dtype != dtype:
            self.ids = np.empty(ids + LONG_SLOT, dtype)
