"""Settings of a corpus: where its documents come from and what is done to them.

Files are given as one list, which is then divided by document hash, or by split: `{train: [...], valid: [...]}`. A split that
is not given is always cut out of train by hash, with its share in `splits`. A document of a parallel corpus is a pair of
sentences.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from stages.lm.settings import Settings

Split = Literal["train", "valid", "test"]


def _as_train(value: Any) -> Any:
    return {"train": value} if isinstance(value, list) else value


class Shares(Settings):
    """Shares of the documents that are held out, for splits that are not given; 0 leaves a split empty."""

    valid: float = Field(default=0.05, ge=0, lt=1)
    """Share of the documents in the validation split."""
    test: float = Field(default=0.05, ge=0, lt=1)
    """Share of the documents in the test split."""

    @model_validator(mode="after")
    def _leave_some_for_training(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError("the shares of valid and test together must be below 1")
        return self


class Cleaning(Settings):
    """What is done to the documents of every source."""

    source: Literal["grammar", "file", "url", "huggingface", "parallel"]
    """Where the documents come from."""
    normalization: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = "NFC"
    """Unicode normalization form that every document is brought to."""
    strip: bool = True
    """Whether white space at both ends of a document is removed."""
    deduplicate: bool = True
    """Whether later copies of the same text are removed."""
    splits: Shares = Shares()
    """Shares of the held-out splits, by document hash."""


class GrammarCorpus(Cleaning):
    """Stories from a grammar whose entropy is known exactly."""

    source: Literal["grammar"]
    grammar: Literal["stories"] = "stories"
    """Which grammar writes the documents."""
    documents: int = Field(default=20000, ge=1)
    """How many documents it writes."""
    seed: int = Field(default=0, ge=0)
    """Seed of the choices; document i depends on the seed and on i alone."""


class TextCorpus(Cleaning):
    """How files are taken apart into documents: text by a delimiter or by opening lines, .jsonl by line, .parquet by row."""

    delimiter: str | None = Field(default="<|endoftext|>", min_length=1)
    """String between the documents of a text file; null makes every file one document."""
    document_start: str | None = None
    """Regular expression found in the lines that open a document, instead of a delimiter."""
    text_key: str = "text"
    """Key of the text in each line of a .jsonl file."""
    text_column: str = "text"
    """Column of the text in a .parquet file."""
    invalid_utf8: Literal["error", "replace", "skip"] = "error"
    """What to do with a document that is not UTF-8 or holds NUL bytes: stop, put U+FFFD there, or leave the document out."""
    max_documents: int | None = Field(default=None, ge=1)
    """Read at most this many documents of each given split, for a small version of a large corpus."""

    @field_validator("document_start")
    @classmethod
    def _is_a_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        return value


class Download(Settings):
    """A file on a web server."""

    url: str = Field(pattern=r"^https?://\S+$")
    """Address, HTTP or HTTPS; the ending of its path tells the format."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Expected SHA-256 of the file; without one, only its length is verified."""


Paths = Annotated[list[str], Field(min_length=1)]
Downloads = Annotated[list[Download], Field(min_length=1)]
PathsBySplit = Annotated[dict[Split, Paths], BeforeValidator(_as_train, json_schema_input_type=Paths | dict[Split, Paths])]
DownloadsBySplit = Annotated[
    dict[Split, Downloads], BeforeValidator(_as_train, json_schema_input_type=Downloads | dict[Split, Downloads])
]


def _with_train(value: dict[Any, Any]) -> dict[Any, Any]:
    if "train" not in value:
        raise ValueError("files are given by split, but none for train")
    return value


class FileCorpus(TextCorpus):
    """Local files: text, .jsonl or .parquet; text and .jsonl may be packed as .gz or .xz."""

    source: Literal["file"]
    paths: PathsBySplit
    """Files or glob patterns, as a list or by split."""

    _needs_train = field_validator("paths")(_with_train)


class UrlCorpus(TextCorpus):
    """Files from the web, downloaded once."""

    source: Literal["url"]
    files: DownloadsBySplit
    """The files, as a list or by split."""

    _needs_train = field_validator("files")(_with_train)


class HuggingFaceCorpus(TextCorpus):
    """Files of a data set on the Hugging Face hub, through its cache."""

    source: Literal["huggingface"]
    repo: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """The data set's repository, `owner/name`."""
    revision: str = "main"
    """Branch, tag or commit; only a commit never changes."""
    files: PathsBySplit
    """Names of files in the repository, as a list or by split."""

    _needs_train = field_validator("files")(_with_train)


class SentenceFiles(Settings):
    """Two text files, one sentence a line, plain or packed as .gz or .xz: line n of one translates line n of the other."""

    source: str = Field(min_length=1)
    """File of the sentences to translate."""
    target: str = Field(min_length=1)
    """File of their translations."""


class ParallelCorpus(Cleaning):
    """Sentences and their translations. Cleaning meets both sides; a pair is one document, and empty where either side is."""

    source: Literal["parallel"]
    files: dict[Split, SentenceFiles]
    """The two files of each split; train is required."""
    max_pairs: int | None = Field(default=None, ge=1)
    """Read at most this many pairs of each given split, for a small version of a large corpus."""

    _needs_train = field_validator("files")(_with_train)


FilesCorpus = FileCorpus | UrlCorpus | HuggingFaceCorpus
CorpusSettings = Annotated[
    GrammarCorpus | FileCorpus | UrlCorpus | HuggingFaceCorpus | ParallelCorpus, Field(discriminator="source")
]
