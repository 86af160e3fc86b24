"""Corpus settings: the forms that are taken, what is filled in, and what is refused in which words."""

from typing import Any

import pytest

from stages.lm.corpus.settings import CorpusSettings, FileCorpus, GrammarCorpus, UrlCorpus
from stages.lm.errors import UserError
from stages.lm.settings import parse


def test_defaults_are_filled_in_and_resolved_settings_are_accepted_again() -> None:
    settings = parse(CorpusSettings, {"source": "grammar"}, "corpora.toy")
    assert isinstance(settings, GrammarCorpus)
    resolved = settings.resolved()
    assert resolved["documents"] == 20000
    assert resolved["normalization"] == "NFC"
    assert resolved["splits"] == {"valid": 0.05, "test": 0.05}
    assert parse(CorpusSettings, resolved, "again") == settings


def test_a_list_of_files_is_all_for_train() -> None:
    settings = parse(CorpusSettings, {"source": "file", "paths": ["a.txt"]}, "corpora.mine")
    assert isinstance(settings, FileCorpus)
    assert settings.paths == {"train": ["a.txt"]}
    given = parse(
        CorpusSettings, {"source": "url", "files": {"train": [{"url": "https://x/a"}], "valid": [{"url": "https://x/b"}]}}, "c"
    )
    assert isinstance(given, UrlCorpus)
    assert [file.url for file in given.files["valid"]] == ["https://x/b"]


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"document": 3, "source": "grammar"}, ["c.document", "documents"]),
        ({"source": "gramar"}, ["c.source", "gramar", "grammar, huggingface"]),
        ({}, ["c.source", "required", "url"]),
        ({"source": "grammar", "documents": "many"}, ["c.documents", "integer"]),
        ({"source": "grammar", "splits": {"valid": 0.6, "test": 0.4}}, ["c.splits", "below 1"]),
        ({"source": "file"}, ["c.paths", "required"]),
        ({"source": "file", "paths": []}, ["c.paths"]),
        ({"source": "file", "paths": {"valid": ["a"]}}, ["c.paths", "none for train"]),
        ({"source": "file", "paths": {"dev": ["a"], "train": ["b"]}}, ["c.paths", "'valid'"]),
        ({"source": "file", "paths": ["a"], "document_start": "("}, ["c.document_start", "regular expression"]),
        ({"source": "file", "paths": ["a"], "delimiter": ""}, ["c.delimiter"]),
        ({"source": "url", "files": [{"url": "ftp://x/y"}]}, ["c.files", "url"]),
        ({"source": "url", "files": [{"url": "http://x/y", "sha256": "abc"}]}, ["sha256"]),
        ({"source": "huggingface", "repo": "a b", "files": ["x"]}, ["c.repo"]),
    ],
)
def test_mistakes_are_named_with_their_key(data: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse(CorpusSettings, data, "c")
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message
