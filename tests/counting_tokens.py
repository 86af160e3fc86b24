"""Token artifacts that tiny models learn in a second: documents that count up from a random number, pairs that count down too."""

from pathlib import Path

import numpy as np

from stages.lm import artifacts

VOCAB = 20


def write_tokens(folder: Path) -> Path:
    """Write the artifact to `folder`; the end-of-text id is 0, and 1 follows 19."""
    rng = np.random.default_rng(0)
    with artifacts.writing(folder, "tokenize", {}, {}) as draft:
        for split, documents in (("train", 200), ("valid", 30), ("test", 30)):
            starts, lengths = rng.integers(VOCAB, size=documents), rng.integers(5, 30, size=documents)
            texts = [[*(1 + (start + np.arange(n)) % (VOCAB - 1)), 0] for start, n in zip(starts, lengths, strict=True)]
            np.save(draft.path / f"{split}.npy", np.concatenate(texts).astype(np.uint16))
            np.save(draft.path / f"{split}.offsets.npy", np.cumsum([0, *lengths + 1]))
            np.save(draft.path / f"{split}.bytes.npy", lengths)
        np.save(draft.path / "words.npy", np.arange(VOCAB) % 3 == 0)
        draft.write_json("stats.json", {"vocab_size": VOCAB, "end_of_text": 0, "tokenizer": "0123456789ab", "splits": {}})
    return folder


def write_pairs(folder: Path) -> Path:
    """Write an artifact of pairs to `folder`: the translation of a row of numbers is the same row backwards."""
    rng = np.random.default_rng(1)
    with artifacts.writing(folder, "tokenize", {}, {}) as draft:
        for split, pairs in (("train", 200), ("valid", 30), ("test", 30)):
            lengths = rng.integers(2, 9, size=pairs)
            rows = [1 + rng.integers(VOCAB - 1, size=length) for length in lengths]
            for side, order in (("source", 1), ("target", -1)):
                ids = np.concatenate([[*row[::order], 0] for row in rows])
                np.save(draft.path / f"{split}.{side}.npy", ids.astype(np.uint16))
                np.save(draft.path / f"{split}.{side}.offsets.npy", np.cumsum([0, *lengths + 1]))
                np.save(draft.path / f"{split}.{side}.bytes.npy", lengths)
        draft.write_json("stats.json", {"vocab_size": VOCAB, "end_of_text": 0, "tokenizer": "0123456789ab", "splits": {}})
    return folder
