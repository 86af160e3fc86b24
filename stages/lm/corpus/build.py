"""A corpus from its source to its shards, in two passes that never hold more than a few megabytes of text.

First pass: documents, or pairs of a text and its translation, are read, cleaned and assigned to splits; they go to a spool on
disk, their digests beside it. Then duplicates are found, and the second pass writes what is left to the shards. Documents and
bytes are counted at every step.
"""

import tempfile
import unicodedata
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lm.artifacts import sha256
from stages.lm.corpus import store
from stages.lm.corpus.deduplication import DUPLICATE, KEEP, LEAKED, DuplicateFinder, text_digest
from stages.lm.corpus.reading import Size
from stages.lm.corpus.settings import CorpusSettings, Shares
from stages.lm.corpus.sources import Source, open_source
from stages.lm.corpus.spool import SpoolWriter, read_spool
from stages.lm.errors import UserError
from stages.lm.progress import progress

RANKS = {"test": 0, "valid": 1, "train": 2}
"""A text that occurs in several splits stays in the one of lowest rank, so that training never sees held-out text."""


def build(settings: CorpusSettings, folder: Path, downloads: Path) -> dict[str, Any]:
    """Write the shards of a corpus into `folder`, an existing folder, and return its statistics.

    Raises UserError if a source cannot be read, or if no document is left to train on.
    """
    source = open_source(settings, downloads)
    columns = store.schema(source.entropy is not None, source.parallel)
    with tempfile.TemporaryDirectory(prefix=".spool-", dir=folder) as name:
        scratch = Path(name)
        finder = DuplicateFinder(scratch)
        steps = _gather(source, settings, columns, scratch / "documents", finder)
        verdicts, totals = finder.judge(settings.deduplicate)
        steps += _removals(steps[-1], totals)
        splits = _distribute(scratch / "documents", verdicts, folder, columns)
    if splits["train"]["documents"] == 0:
        counts = ", ".join(f"{step['step']} {step['documents']}" for step in steps)
        raise UserError(f"the corpus has no document to train on (after each step: {counts}); check its source and its splits")
    entropy = source.entropy
    return {
        "splits": splits,
        "steps": steps,
        "entropy": entropy and {**entropy._asdict(), "bits_per_byte": entropy.bits_per_byte},
        "files": [
            {"name": file.name, "split": file.split, "bytes": file.path.stat().st_size, "sha256": sha256(file.path)}
            for file in source.files
        ],
    }


def clean(text: str, normalization: str, strip: bool) -> str:
    """A text in a Unicode normalization form ("none" leaves it as it is), without white space at its ends if `strip`."""
    if normalization != "none" and not text.isascii():
        text = unicodedata.normalize(cast(Literal["NFC", "NFD", "NFKC", "NFKD"], normalization), text)
    return text.strip() if strip else text


def split_of(digest: bytes, shares: Mapping[str, float]) -> str:
    """The split of a document with this digest, given the shares of the held-out ones.

    A function of the text alone: whatever else is in the corpus, a document stays where it is. And a share that grows takes
    documents only from train, where test comes from the low end of the hashes and valid from the high end.
    """
    position = int.from_bytes(digest[:8], "big") / 2**64  # uniform on [0, 1)
    if position < shares["test"]:
        return "test"
    return "valid" if position >= 1 - shares["valid"] else "train"


def held_out(shares: Shares, given: frozenset[str]) -> dict[str, float]:
    """The shares to cut out of train: those of the splits that the source does not give."""
    return {split: 0.0 if split in given else share for split, share in shares.resolved().items()}


def _gather(
    source: Source, settings: CorpusSettings, columns: pa.Schema, spool: Path, finder: DuplicateFinder
) -> list[dict[str, Any]]:
    """The first pass: fill the spool and the finder, and count."""
    read, changed, removed_bytes, left = Size(), 0, 0, Size()
    shares = held_out(settings.splits, source.given)
    with closing(SpoolWriter(spool, columns)) as writer, progress("read", source.total, "documents") as bar:
        for document in source.documents:
            given = [document.text] if document.target is None else [document.text, document.target]
            texts = [clean(text, settings.normalization, settings.strip) for text in given]
            encoded = [text.encode() for text in texts]
            length = sum(map(len, encoded))
            read.add(length if texts == given else sum(len(text.encode()) for text in given))
            changed += texts != given
            bar.update()
            if any(not text or text.isspace() for text in texts):
                removed_bytes += length
                continue
            digest = text_digest(b"\0".join(encoded))
            split = split_of(digest, shares) if document.split == "train" else document.split
            bits = () if document.bits is None else (document.bits,)
            writer.write((digest.hex(), encoded[0], document.source, *bits, *encoded[1:], store.SPLITS.index(split)))
            finder.add(digest, RANKS[split], length)
            left.add(length)
    lost = source.skipped
    return [
        {"step": "read", "documents": read.documents + lost.documents, "bytes": read.bytes + lost.bytes, "removed": 0},
        {"step": "decode", "documents": read.documents, "bytes": read.bytes, "removed": lost.documents},
        {
            "step": "normalize",
            "documents": read.documents,
            "bytes": left.bytes + removed_bytes,
            "removed": 0,
            "changed": changed,
        },
        {"step": "drop empty", "documents": left.documents, "bytes": left.bytes, "removed": read.documents - left.documents},
    ]


def _removals(before: dict[str, Any], totals: Mapping[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """The steps that the verdicts amount to, following the step `before`."""
    steps = []
    for name, verdict in (("drop duplicates", DUPLICATE), ("drop leaked", LEAKED)):
        documents, size = totals[verdict]
        before = {
            "step": name,
            "documents": before["documents"] - documents,
            "bytes": before["bytes"] - size,
            "removed": documents,
        }
        steps.append(before)
    return steps


def _distribute(spool: Path, verdicts: Path, folder: Path, columns: pa.Schema) -> dict[str, dict[str, Any]]:
    """The second pass: from the spool, write the documents to keep to the shards of their splits, and count."""
    counts: dict[str, dict[str, Any]] = {
        split: {"documents": 0, "bytes": 0, "characters": 0} | ({"bits": 0.0} if "bits" in columns.names else {})
        for split in store.SPLITS
    }
    with ExitStack() as stack, verdicts.open("rb") as verdict_file:
        writers = {split: stack.enter_context(store.SplitWriter(folder, split, columns)) for split in store.SPLITS}
        for batch in read_spool(spool):
            kept = np.frombuffer(verdict_file.read(batch.num_rows), np.uint8) == KEEP
            split_index = batch.column("split").to_numpy()
            for index, split in enumerate(store.SPLITS):
                chosen = batch.filter(pa.array(kept & (split_index == index))).select(columns.names)
                writers[split].write(chosen)
                _count(counts[split], chosen)
    return counts


def _count(totals: dict[str, Any], batch: pa.RecordBatch) -> None:
    totals["documents"] += batch.num_rows
    for name in set(batch.schema.names) & set(store.TEXT_COLUMNS):
        texts = batch.column(name)
        totals["bytes"] += pc.sum(pc.binary_length(texts)).as_py() or 0
        totals["characters"] += pc.sum(pc.utf8_length(texts)).as_py() or 0
    if "bits" in totals:
        totals["bits"] += pc.sum(batch.column("bits")).as_py() or 0.0
