"""Batches from a stream of token ids: at random, or as a pure function of (seed, step)."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.tokens import TokenArray


def get_batch(
    dataset: NDArray[np.integer],
    batch_size: int,
    context_length: int,
    device: str | torch.device = "cpu",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Sequences from uniformly random places, and the same shifted by one: two LongTensors (batch_size, context_length).

    `dataset` may be memory-mapped: only the sequences are read. Valid starts are 0 .. len(dataset) - context_length - 1.
    """
    starts = torch.randint(len(dataset) - context_length, (batch_size,), generator=generator).numpy()
    ids = read_windows(dataset, starts, context_length + 1).to(device)
    return ids[:, :-1], ids[:, 1:]


def read_windows(dataset: NDArray[np.integer], starts: NDArray[np.int64], length: int) -> Tensor:
    """`length` ids from each start: a LongTensor (starts, length)."""
    ids = np.empty((len(starts), length), dtype=np.int64)
    for row, start in zip(ids, starts, strict=True):
        row[:] = dataset[start : start + length]
    return torch.from_numpy(ids)


def check_length(ids: NDArray[np.integer], context_length: int, split: str) -> None:
    """Raises UserError if not even one window of context_length + 1 ids fits into the split."""
    if len(ids) < context_length + 1:
        raise UserError(
            f"model.context_length is {context_length:,}, but the {split} split has only {len(ids):,} tokens (one more than the "
            f"context is needed); set context_length to at most {len(ids) - 1:,}, or give the corpus more text"
        )


@dataclass(frozen=True)
class ValidationSet:
    """Windows of a split, each within one document: what was cut off, or belongs to another text, cannot be predicted."""

    ids: Tensor
    """LongTensor (windows, context_length + 1)."""
    counted: Tensor
    """BoolTensor (windows, context_length): whether ids[:, 1:] still belongs to the window's document."""


def validation_set(tokens: TokenArray, context_length: int, windows: int) -> ValidationSet:
    """`windows` windows evenly spread over a split; fewer where it has no more without overlap.

    A window moves back to the end-of-text id before its document where that is less than a context away; what follows its
    document's end is not counted. So short documents are measured whole. Raises UserError if not even one window fits.
    """
    check_length(tokens.ids, context_length, "valid")
    last = len(tokens.ids) - context_length - 1
    spread = np.linspace(0, last, min(windows, last // context_length + 1)).astype(np.int64)
    document = np.searchsorted(tokens.offsets, spread, side="right") - 1
    opened = np.maximum(tokens.offsets[document] - 1, 0)
    starts = np.where(spread - opened < context_length, opened, spread)
    targets = starts[:, None] + np.arange(1, context_length + 1)  # (windows, context_length)
    counted = torch.from_numpy(targets < tokens.offsets[document + 1][:, None])
    return ValidationSet(read_windows(tokens.ids, starts, context_length + 1), counted)


class WindowSampler:
    """Batches of windows of context_length + 1 ids; the batch of a step depends on (seed, step) alone.

    An epoch cuts the stream into windows `context_length` apart, so that every id is predicted once (but for less than two
    windows at the ends of the stream), from an offset of its own, and visits them in an order of its own. The order is a
    permutation that is computed, not stored: nothing grows with the data, and any step can be replayed.
    """

    def __init__(self, ids: NDArray[np.integer], context_length: int, batch_size: int, seed: int) -> None:
        """Raises UserError if not even one window fits."""
        check_length(ids, context_length, "train")
        self.ids, self.context_length, self.batch_size, self.seed = ids, context_length, batch_size, seed
        self.windows = max(1, len(ids) // context_length - 1)
        self.offsets = min(context_length, len(ids) - self.windows * context_length)

    def starts(self, step: int) -> NDArray[np.int64]:
        """Where the windows of a step's batch start: (batch_size,)."""
        drawn = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        starts = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(drawn[0] // self.windows, drawn[-1] // self.windows + 1):
            here = drawn // self.windows == epoch
            key = _mix(np.uint64(self.seed), np.uint64(epoch))
            offset = int(_mix(key, np.uint64(0)) % np.uint64(self.offsets))
            starts[here] = offset + permute(drawn[here] % self.windows, self.windows, key) * self.context_length
        return starts

    def batch(self, step: int) -> Tensor:
        """The windows of a step: a LongTensor (batch_size, context_length + 1)."""
        return read_windows(self.ids, self.starts(step), self.context_length + 1)


ROUNDS = 6
Words = TypeVar("Words", np.uint64, NDArray[np.uint64])


def permute(index: NDArray[np.int64], size: int, key: np.uint64) -> NDArray[np.int64]:
    """The images of `index` under a pseudo-random permutation of 0 .. size - 1, chosen by `key`.

    A Feistel network permutes the numbers of 2b bits; images outside the range are permuted again until they fall into it
    ("cycle walking": Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains").
    """
    bits = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    image = _feistel(index.astype(np.uint64), bits, key)
    while (outside := image >= np.uint64(size)).any():
        image[outside] = _feistel(image[outside], bits, key)
    return image.astype(np.int64)


def _feistel(value: NDArray[np.uint64], bits: np.uint64, key: np.uint64) -> NDArray[np.uint64]:
    """A permutation of the numbers of 2 * bits bits."""
    mask = (np.uint64(1) << bits) - np.uint64(1)
    left, right = value >> bits, value & mask
    for number in range(1, ROUNDS + 1):
        round_key = _mix(key, np.uint64(number))
        left, right = right, left ^ (_mix(round_key, right) & mask)
    return left << bits | right


def _mix(key: np.uint64, value: Words) -> Words:
    """A hash of both: SplitMix64's finaliser (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = key + (value + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
