"""Files of the hub: found in the offline cache, and clear words where they are not."""

from pathlib import Path

import pytest

from stages.lm.corpus.huggingface import fetch_file
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.corpus.sources import open_source
from stages.lm.errors import UserError
from stages.lm.settings import parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache, laid out as huggingface_hub documents it, that holds one file of one data set."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "datasets--roneneldan--TinyStories"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / "valid.txt").write_text("Once.<|endoftext|>\nTwice.\n")
    return tmp_path


@pytest.mark.usefixtures("offline_cache")
@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_the_cache_is_used_offline(tmp_path: Path, revision: str) -> None:
    data = {"source": "huggingface", "repo": "roneneldan/TinyStories", "files": ["valid.txt"], "revision": revision}
    source = open_source(parse(CorpusSettings, data, "c"), tmp_path)
    assert [document.text for document in source.documents] == ["Once.", "\nTwice.\n"]
    assert [file.name for file in source.files] == ["roneneldan/TinyStories/valid.txt"]


@pytest.mark.usefixtures("offline_cache")
def test_what_is_not_in_the_cache_is_said_to_be_missing() -> None:
    with pytest.raises(UserError, match=r"roneneldan/TinyStories/train.txt .*not in the local cache.*HF_HUB_OFFLINE"):
        fetch_file("roneneldan/TinyStories", "train.txt", "main")
