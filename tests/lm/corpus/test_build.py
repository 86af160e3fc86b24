"""The two passes: cleaning, splits, leakage, counts, and memory that does not grow."""

import hashlib
import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lm.corpus import store
from stages.lm.corpus.build import build, clean, split_of
from stages.lm.corpus.deduplication import text_digest
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.errors import UserError
from stages.lm.settings import parse

SHARES = {"valid": 0.2, "test": 0.1}


def built(folder: Path, **settings: Any) -> dict[str, Any]:
    folder.mkdir()
    return build(parse(CorpusSettings, settings, "c"), folder, folder / "downloads")


def contents(folder: Path) -> dict[str, list[str]]:
    return {split: list(store.documents(folder, split)) for split in store.SPLITS}


@given(text=st.text(), form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD", "none"]))
def test_cleaning(text: str, form: Any) -> None:
    expected = text if form == "none" else unicodedata.normalize(form, text)
    assert clean(text, form, strip=False) == expected
    assert clean(text, form, strip=True) == expected.strip()


@settings(max_examples=30, deadline=None)
@given(texts=st.sets(st.text(min_size=1), min_size=1, max_size=30), added=st.sets(st.text(min_size=1), max_size=30))
def test_added_documents_move_no_other(tmp_path_factory: pytest.TempPathFactory, texts: set[str], added: set[str]) -> None:
    where: list[dict[str, str]] = []
    for members in (sorted(texts), sorted(texts | added, reverse=True)):
        folder = tmp_path_factory.mktemp("corpus")
        lines = [json.dumps({"text": f"always here {number}"}) for number in range(20)]
        lines += [json.dumps({"text": text}) for text in members]
        (folder / "a.jsonl").write_text("\n".join(lines))
        built(folder / "out", source="file", paths=[str(folder / "a.jsonl")], splits=SHARES, invalid_utf8="skip")
        where.append({text: split for split, found in contents(folder / "out").items() for text in found})
    assert where[0].items() <= where[1].items()


@given(text=st.text(), valid=st.floats(0, 0.4), test=st.floats(0, 0.4), more=st.floats(0, 0.19))
def test_larger_shares_only_take_from_train(text: str, valid: float, test: float, more: float) -> None:
    digest = text_digest(text.encode())
    before = split_of(digest, {"valid": valid, "test": test})
    after = split_of(digest, {"valid": valid + more, "test": test + more})
    assert after == before or before == "train"


def test_shares_are_met() -> None:
    splits = [split_of(text_digest(str(number).encode()), SHARES) for number in range(20_000)]
    assert splits.count("test") / 20_000 == pytest.approx(0.1, abs=0.009)
    assert splits.count("valid") / 20_000 == pytest.approx(0.2, abs=0.012)


def test_steps_are_counted(tmp_path: Path) -> None:
    documents = [*(f"text {number}" for number in range(40)), "text 3", "  text 4\n", "", " \n", "cafe\u0301", "caf\u00e9"]
    raw = "<|endoftext|>".join(documents).encode() + b"<|endoftext|>not \xff text"
    (tmp_path / "a.txt").write_bytes(raw)
    stats = built(tmp_path / "out", source="file", paths=[str(tmp_path / "a.txt")], invalid_utf8="skip")
    size = len(raw) - 46 * len(b"<|endoftext|>")
    left = sum(len(f"text {number}") for number in range(40)) + len("café".encode())
    copies = len("text 3") + len("text 4") + len("café".encode())
    assert stats["steps"] == [
        {"step": "read", "documents": 47, "bytes": size, "removed": 0},
        {"step": "decode", "documents": 46, "bytes": size - 10, "removed": 1},
        {"step": "normalize", "documents": 46, "bytes": left + copies, "removed": 0, "changed": 3},
        {"step": "drop empty", "documents": 44, "bytes": left + copies, "removed": 2},
        {"step": "drop duplicates", "documents": 41, "bytes": left, "removed": 3},
        {"step": "drop leaked", "documents": 41, "bytes": left, "removed": 0},
    ]
    assert sum(split["documents"] for split in stats["splits"].values()) == 41
    assert sum(split["bytes"] for split in stats["splits"].values()) == left
    assert sum(split["characters"] for split in stats["splits"].values()) == left - 1
    assert stats["files"][0]["sha256"] == hashlib.sha256(raw).hexdigest()
    assert stats["entropy"] is None
    kept = built(tmp_path / "all", source="file", paths=[str(tmp_path / "a.txt")], invalid_utf8="skip", deduplicate=False)
    assert kept["steps"][-1]["documents"] == 44


@pytest.mark.parametrize("deduplicate", [True, False])
def test_given_splits_do_not_leak(tmp_path: Path, deduplicate: bool) -> None:
    texts = {
        "train": ["a", "b", "b", "in valid", "in test"],
        "valid": ["c", "in valid", "in both"],
        "test": ["in test", "in both"],
    }
    for split, documents in texts.items():
        (tmp_path / f"{split}.txt").write_text("<|endoftext|>".join(documents))
    paths = {split: [str(tmp_path / f"{split}.txt")] for split in texts}
    stats = built(tmp_path / "out", source="file", paths=paths, deduplicate=deduplicate)
    assert contents(tmp_path / "out") == {
        "train": ["a", "b"] if deduplicate else ["a", "b", "b"],
        "valid": ["c", "in valid"],
        "test": ["in test", "in both"],
    }
    assert stats["steps"][-1]["removed"] == 3
    assert stats["steps"][-2]["removed"] == int(deduplicate)


def test_a_split_that_is_not_given_is_cut_out_of_train(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("<|endoftext|>".join(f"train {number}" for number in range(400)))
    (tmp_path / "valid.txt").write_text("<|endoftext|>".join(f"valid {number}" for number in range(50)))
    paths = {"train": [str(tmp_path / "train.txt")], "valid": [str(tmp_path / "valid.txt")]}
    built(tmp_path / "out", source="file", paths=paths, splits={"valid": 0.3, "test": 0.2})
    found = contents(tmp_path / "out")
    assert found["valid"] == [f"valid {number}" for number in range(50)]
    assert len(found["test"]) == pytest.approx(80, abs=30)
    assert all(text.startswith("train") for text in found["train"] + found["test"])
    small = built(tmp_path / "small", source="file", paths=paths, max_documents=20)
    assert small["steps"][0]["documents"] == 40


def test_patterns_and_their_failures(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(f"document in {name}")
    built(tmp_path / "out", source="file", paths=[f"{tmp_path}/*.txt"], splits={"valid": 0, "test": 0})
    assert contents(tmp_path / "out")["train"] == ["document in a.txt", "document in b.txt"]
    for number, (path, message) in enumerate(
        [("*.json", "matches no file"), ("none.txt", "no such file"), ("", "is a folder; name its files")]
    ):
        with pytest.raises(UserError, match=message):
            built(tmp_path / f"failed-{number}", source="file", paths=[f"{tmp_path}/{path}"])


def test_nothing_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" \n<|endoftext|>\n")
    with pytest.raises(UserError, match=r"no document to train on \(.*read 2, .*drop empty 0"):
        built(tmp_path / "out", source="file", paths=[str(tmp_path / "a.txt")])


def test_a_grammar_corpus_carries_its_surprisal(tmp_path: Path) -> None:
    stats = built(tmp_path / "out", source="grammar", documents=500, splits=SHARES)
    for split, count in stats["splits"].items():
        rows = [row for shard in store.shards(tmp_path / "out", split) for row in pq.read_table(shard).to_pylist()]
        assert count["documents"] == len(rows)
        assert count["bits"] == pytest.approx(sum(row["bits"] for row in rows))
        assert all(row["id"] == text_digest(row["text"].encode()).hex() for row in rows)
    assert stats["entropy"]["bits_per_byte"] == pytest.approx(
        stats["entropy"]["bits_per_document"] / stats["entropy"]["bytes_per_document"]
    )


MEASURE = """
import resource, sys
from pathlib import Path
from stages.lm.corpus.build import build
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.settings import parse
folder = Path(sys.argv[1])
stats = build(parse(CorpusSettings, {"source": "file", "paths": [str(folder / "a.txt")]}, "c"), folder, folder)
print(stats["steps"][-1]["documents"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(folder: Path, root: Path, documents: int) -> int:
    """Peak resident bytes of building a corpus of so many distinct documents of 2,000 bytes, a tenth of them twice."""
    folder.mkdir()
    with (folder / "a.txt").open("w") as file:
        for number in range(documents):
            file.write((f"{number} ".ljust(20) * 100 + "<|endoftext|>") * (1 + (number % 10 == 0)))
    command = [sys.executable, "-c", MEASURE, str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    left, kilobytes = map(int, done.stdout.split())
    assert left == documents
    return kilobytes * 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, root: Path) -> None:
    small, large = (peak_memory(tmp_path / name, root, documents) for name, documents in (("1x", 12_500), ("8x", 100_000)))
    assert large - small < 20 << 20, (small, large)  # 175 MB more text
