"""Pseudo-random permutations that are computed, not stored: any place of any epoch's order is known at once."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

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
        round_key = mix(key, np.uint64(number))
        left, right = right, left ^ (mix(round_key, right) & mask)
    return left << bits | right


def mix(key: np.uint64, value: Words) -> Words:
    """A hash of both: SplitMix64's finaliser (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = key + (value + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def uniforms(key: np.uint64, counter: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A number in [0, 1) for each counter, float64 with 53 random bits."""
    return np.ldexp((mix(key, counter) >> np.uint64(11)).astype(np.float64), -53)
