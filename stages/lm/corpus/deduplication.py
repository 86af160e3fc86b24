"""Exact duplicates found by 16-byte digests, in memory that a corpus of any size leaves small.

While documents pass by, one record of each (33 bytes) goes to one of 256 buckets on disk, chosen by its digest: equal texts
meet in one bucket, so that each bucket is sorted on its own. The largest bucket is what memory must hold: about 150 bytes for
every 256th document, 60 MB for a hundred million. One verdict byte per document is kept in a file.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

KEEP, DUPLICATE, LEAKED = 0, 1, 2
"""Verdicts: keep it; a copy in the same split was kept; a copy in a held-out split was kept."""

RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("ordinal", "<u8"), ("bytes", "<u8"), ("rank", "u1")])
BUCKETS = 256
RECORDS_IN_MEMORY = 1 << 16


def text_digest(encoded: bytes) -> bytes:
    """The 16-byte BLAKE2b digest of a text in UTF-8: its identity."""
    return hashlib.blake2b(encoded, digest_size=16).digest()


class DuplicateFinder:
    """Collects documents, then judges them all.

    Among equal texts the one of lowest rank is kept, and among those the first; texts of other ranks than the kept one's are
    leaked, those of the same rank are duplicates.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.waiting: list[tuple[int, int, int, int, int]] = []

    def add(self, digest: bytes, rank: int, length: int) -> None:
        """Register the next document: its digest, the rank of its split, and its length in bytes."""
        high, low = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
        self.waiting.append((high, low, self.count, length, rank))
        self.count += 1
        if len(self.waiting) == RECORDS_IN_MEMORY:
            self._flush()

    def judge(self, deduplicate: bool) -> tuple[Path, dict[int, tuple[int, int]]]:
        """A file with the verdict on each document (uint8, in order of arrival), and documents and bytes by verdict.

        Without `deduplicate`, copies within a split are kept.
        """
        self._flush()
        file = self.folder / "verdicts"
        file.touch()
        totals = dict.fromkeys((KEEP, DUPLICATE, LEAKED), (0, 0))
        if self.count == 0:
            return file, totals
        verdicts = np.memmap(file, np.uint8, mode="w+", shape=(self.count,))
        for bucket in sorted(self.folder.glob("bucket-*")):
            records = np.fromfile(bucket, RECORD)
            ordered, verdict = _judged(records, deduplicate)
            verdicts[ordered["ordinal"]] = verdict
            for kind, (documents, size) in totals.items():
                chosen = verdict == kind
                totals[kind] = (documents + int(chosen.sum()), size + int(ordered["bytes"][chosen].sum()))
        verdicts.flush()
        return file, totals

    def _flush(self) -> None:
        records = np.array(self.waiting, RECORD)
        self.waiting = []
        buckets = records["low"] % BUCKETS
        for bucket in np.unique(buckets):
            with (self.folder / f"bucket-{bucket:03d}").open("ab") as file:
                records[buckets == bucket].tofile(file)


def _judged(records: npt.NDArray[Any], deduplicate: bool) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """The records of one bucket with equal digests side by side, best first, and the verdict on each."""
    ordered = records[np.lexsort((records["ordinal"], records["rank"], records["low"], records["high"]))]
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = (ordered["high"][1:] != ordered["high"][:-1]) | (ordered["low"][1:] != ordered["low"][:-1])
    kept_rank = ordered["rank"][first][np.cumsum(first) - 1]  # the rank of the kept copy, for each record
    verdict = np.where(first | (not deduplicate), KEEP, DUPLICATE).astype(np.uint8)
    verdict[ordered["rank"] != kept_rank] = LEAKED
    return ordered, verdict
