"""Where documents come from: a grammar, local files, the web, the Hugging Face hub, or files of sentences in two languages."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from stages.lm.corpus import toy
from stages.lm.corpus.grammar import Entropy, Grammar
from stages.lm.corpus.parallel import read_pairs
from stages.lm.corpus.reading import Size, read_documents
from stages.lm.corpus.settings import CorpusSettings, FileCorpus, FilesCorpus, GrammarCorpus, ParallelCorpus, UrlCorpus
from stages.lm.errors import UserError

GRAMMARS = {"stories": toy.stories}


class Document(NamedTuple):
    """A document as it comes: its text, the name of its source, the split it was given to; its surprisal, its translation."""

    text: str
    source: str
    split: str
    bits: float | None = None
    target: str | None = None


@dataclass(frozen=True)
class SourceFile:
    """A local file to read: for `split`, and called `name` wherever it lies."""

    path: Path
    name: str
    split: str


@dataclass(frozen=True)
class Source:
    """A source opened for reading."""

    documents: Iterator[Document]
    given: frozenset[str]
    """The splits that the source itself tells apart; only train where it tells none."""
    skipped: Size
    """What reading left out, complete when `documents` is exhausted."""
    total: int | None = None
    """How many documents there are, where that is known."""
    files: Sequence[SourceFile] = ()
    entropy: Entropy | None = None
    """What is known exactly about a grammar's documents."""
    parallel: bool = False
    """Whether every document comes with its translation."""


def open_source(settings: CorpusSettings, downloads: Path) -> Source:
    """The documents of a corpus; the web's files are kept in `downloads`. Raises UserError where a file is missing."""
    skipped = Size()
    if isinstance(settings, GrammarCorpus):
        grammar = GRAMMARS[settings.grammar]()
        stories = _grammar_documents(settings, grammar)
        return Source(stories, frozenset({"train"}), skipped, settings.documents, entropy=grammar.entropy())
    if isinstance(settings, ParallelCorpus):
        sides = _sentence_files(settings)
        return Source(_pairs(settings), frozenset(settings.files), skipped, files=sides, parallel=True)
    files = fetch(settings, downloads)
    given = frozenset(file.split for file in files)
    return Source(_file_documents(settings, files, skipped), given, skipped, files=files)


def source_files(settings: CorpusSettings) -> list[str]:
    """The local files that a corpus of source `file` or `parallel` reads, patterns expanded; none for other sources.

    Raises UserError for a path that is no file and for a pattern that matches none.
    """
    if isinstance(settings, ParallelCorpus):
        return [str(file.path) for file in _sentence_files(settings)]
    return [str(file.path) for file in _matching_files(settings)] if isinstance(settings, FileCorpus) else []


def fetch(settings: FilesCorpus, downloads: Path) -> list[SourceFile]:
    """The files of a corpus on local disk, in order, downloaded to `downloads` or the hub's cache where necessary."""
    if isinstance(settings, FileCorpus):
        return _matching_files(settings)
    if isinstance(settings, UrlCorpus):
        from stages.lm.corpus.download import download

        return [
            SourceFile(download(file.url, file.sha256, downloads), file.url, split)
            for split, files in settings.files.items()
            for file in files
        ]
    from stages.lm.corpus.huggingface import fetch_file

    return [
        SourceFile(fetch_file(settings.repo, name, settings.revision), f"{settings.repo}/{name}", split)
        for split, names in settings.files.items()
        for name in names
    ]


def _file_documents(settings: FilesCorpus, files: list[SourceFile], skipped: Size) -> Iterator[Document]:
    """The documents of local files, at most `max_documents` a given split; what is left out is counted in `skipped`."""
    for split in dict.fromkeys(file.split for file in files):
        documents = (
            Document(text, file.name, split)
            for file in files
            if file.split == split
            for text in read_documents(file.path, settings, skipped)
        )
        yield from islice(documents, settings.max_documents)


def _grammar_documents(settings: GrammarCorpus, grammar: Grammar) -> Iterator[Document]:
    """The documents of a grammar with their surprisals."""
    name = f"grammar:{settings.grammar}"
    for index in range(settings.documents):
        text, bits = grammar.sample(settings.seed, index)
        yield Document(text, name, "train", bits)


def _pairs(settings: ParallelCorpus) -> Iterator[Document]:
    """The pairs of a parallel corpus, at most `max_pairs` a split."""
    for split, sides in settings.files.items():
        pairs = read_pairs(Path(sides.source), Path(sides.target))
        for sentence, translation in islice(pairs, settings.max_pairs):
            yield Document(sentence, sides.source, split, target=translation)


def _sentence_files(settings: ParallelCorpus) -> list[SourceFile]:
    """Both files of every split. Raises UserError for a path that is no file."""
    files = [
        SourceFile(Path(path), path, split) for split, sides in settings.files.items() for path in (sides.source, sides.target)
    ]
    for file in files:
        if not file.path.is_file():
            raise UserError(f"{file.name}: no such file; mend it in the corpus settings (files.{file.split})")
    return files


def _matching_files(settings: FileCorpus) -> list[SourceFile]:
    files = [
        SourceFile(Path(path), path, split)
        for split, patterns in settings.paths.items()
        for pattern in patterns
        for path in _expanded(pattern)
    ]
    return list(dict.fromkeys(files))


def _expanded(pattern: str) -> list[str]:
    """The files that a path or glob pattern means, in order of their names."""
    if Path(pattern).is_file():
        return [pattern]
    matches = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())  # noqa: PTH207 - patterns may be absolute
    if matches:
        return matches
    if glob.has_magic(pattern):
        raise UserError(f"{pattern}: this pattern matches no file; mend it in the corpus settings (paths)")
    problem = "is a folder; name its files, as in" if Path(pattern).is_dir() else "no such file; mend"
    hint = f"{pattern.rstrip('/')}/*.txt" if Path(pattern).is_dir() else "it in the corpus settings (paths)"
    raise UserError(f"{pattern}: {problem} {hint}")
