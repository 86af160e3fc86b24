"""The README of a corpus artifact: what is in it, in numbers, with a document to look at."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.lm.corpus import store
from stages.lm.corpus.settings import CorpusSettings

EXCERPT_CHARACTERS = 700


def readme(settings: CorpusSettings, stats: dict[str, Any], folder: Path) -> str:
    """The README of the corpus that lies in `folder`, in Markdown."""
    splits = [
        (split, f"{count['documents']:,}", f"{count['bytes']:,}", f"{count['characters']:,}")
        for split, count in stats["splits"].items()
    ]
    steps = [(step["step"], f"{step['documents']:,}", f"{step['bytes']:,}", f"{step['removed']:,}") for step in stats["steps"]]
    parallel = "target" in store.text_columns(folder)
    files = [(file["name"], file["split"], f"{file['bytes']:,}", f"`{file['sha256'][:16]}…`") for file in stats["files"]]
    parts = [
        f"# Corpus (source: {settings.source})",
        "Documents by split, as Parquet shards with the columns `id` (hash of the text), `text`, `source`"
        + (" and `bits` (exact surprisal under the grammar)." if stats["entropy"] else "")
        + (" and `target` (the translation of the text); sizes are those of both together." if parallel else ""),
        _table(("split", "documents", "bytes", "characters"), splits),
        "What each step left, and removed:",
        _table(("step", "documents left", "bytes left", "documents removed"), steps),
    ]
    if stats["entropy"]:
        parts.append(
            "The exact entropy of the source is {bits_per_document:.2f} bits a document of {bytes_per_document:.1f} bytes on "
            "average: {bits_per_byte:.5f} bits per byte, which no model can beat in the long run.".format(**stats["entropy"])
        )
    if files:
        parts += ["The files that it was read from:", _table(("file", "split", "bytes", "sha256"), files)]
    opening = [next(store.documents(folder, "train", column)) for column in store.text_columns(folder)]
    excerpt = "\n".join(opening)[:EXCERPT_CHARACTERS]
    parts += ["The first training document begins:", "\n".join(f"    {line}".rstrip() for line in excerpt.splitlines())]
    return "\n\n".join(parts) + "\n"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ("---",) * len(header), *rows])
