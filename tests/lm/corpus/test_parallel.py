"""Sentence pairs: read side by side, cleaned and counted as one document, stored in two columns."""

from pathlib import Path
from typing import Any

import pytest

from stages.lm.corpus import store
from stages.lm.corpus.build import build
from stages.lm.corpus.parallel import read_pairs
from stages.lm.corpus.readme import readme
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.errors import UserError
from stages.lm.settings import parse
from tests import sentences


def built(folder: Path, **settings: Any) -> dict[str, Any]:
    folder.mkdir()
    return build(parse(CorpusSettings, {"source": "parallel", **settings}, "c"), folder, folder)


def pairs(folder: Path, split: str) -> list[tuple[str, str]]:
    return list(zip(store.documents(folder, split), store.documents(folder, split, "target"), strict=True))


@pytest.mark.parametrize("packed", [True, False])
def test_given_splits_come_back_in_order(tmp_path: Path, packed: bool) -> None:
    files = sentences.write(tmp_path, packed, train=50, valid=5, test=4)
    stats = built(tmp_path / "out", files=files, deduplicate=False)
    expected = [sentences.pair(number) for number in range(59)]
    found = [pairs(tmp_path / "out", split) for split in store.SPLITS]
    assert found == [expected[:50], expected[50:55], expected[55:]]
    assert stats["splits"]["valid"]["bytes"] == sum(len(text.encode()) for pair in expected[50:55] for text in pair)
    assert [file["split"] for file in stats["files"]] == ["train", "train", "valid", "valid", "test", "test"]


def test_a_pair_is_one_document_in_every_step(tmp_path: Path) -> None:
    source = ["ein Hund", "ein Hund", "ein Hund ", "", "eine Katze", "nur hier", "u\u0308ber"]
    target = ["a dog", "one dog", "a dog", "nothing", "  ", "only here", "over"]
    files = write_files(tmp_path, "\n".join(source), "\n".join(target))
    stats = built(tmp_path / "out", files=files, splits={"valid": 0.0, "test": 0.0})
    assert pairs(tmp_path / "out", "train") == [
        ("ein Hund", "a dog"),
        ("ein Hund", "one dog"),
        ("nur hier", "only here"),
        ("\u00fcber", "over"),
    ]
    assert {step["step"]: step["removed"] for step in stats["steps"]} == {
        "read": 0, "decode": 0, "normalize": 0, "drop empty": 2, "drop duplicates": 1, "drop leaked": 0
    }  # fmt: skip


def test_splits_that_are_not_given_are_cut_out_and_pairs_are_limited(tmp_path: Path) -> None:
    files = sentences.write(tmp_path, train=300)
    stats = built(tmp_path / "out", files=files, splits={"valid": 0.2, "test": 0.2}, max_pairs=200, deduplicate=False)
    assert all(count["documents"] > 10 for count in stats["splits"].values())
    assert sum(count["documents"] for count in stats["splits"].values()) == 200


def test_the_readme_shows_both_sides(tmp_path: Path) -> None:
    settings = parse(CorpusSettings, {"source": "parallel", "files": sentences.write(tmp_path, train=30)}, "c")
    stats = built(tmp_path / "out", files=settings.files)
    text = readme(settings, stats, tmp_path / "out")
    first, translation = pairs(tmp_path / "out", "train")[0]
    assert f"    {first}\n    {translation}\n" in text
    assert "`target`" in text


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a\nb\nc\n", "x\ny\n", "target.txt: has 2 lines, but {folder}/source.txt has 3"),
        ("a\n", "x\ny\nz", "source.txt: has 1 lines, but {folder}/target.txt has 3"),
        ("a\nb\n", "x\n\udcff\n", "target.txt: line 2 is not UTF-8"),
        ("a\0\n", "x\n", "source.txt: line 1 holds a NUL byte"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, source: str, target: str, message: str) -> None:
    files = write_files(tmp_path, source, target)["train"]
    with pytest.raises(UserError) as raised:
        list(read_pairs(Path(files["source"]), Path(files["target"])))
    assert message.format(folder=tmp_path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    files = sentences.write(tmp_path, train=3)
    files["train"]["target"] = str(tmp_path / "none.txt")
    with pytest.raises(UserError, match=r"none\.txt: no such file; mend it in the corpus settings \(files\.train\)"):
        built(tmp_path / "out", files=files)


def write_files(folder: Path, source: str, target: str) -> dict[str, dict[str, str]]:
    files = {"source": folder / "source.txt", "target": folder / "target.txt"}
    for path, content in zip(files.values(), (source, target), strict=True):
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    return {"train": {side: str(path) for side, path in files.items()}}
