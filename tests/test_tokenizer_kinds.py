"""The whole line with every kind of tokenizer: one config, one table."""

import json
from pathlib import Path

import pytest

from tests.pipeline import Project

pytestmark = pytest.mark.slow


def test_every_kind_of_tokenizer_from_corpus_to_report(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.snakemake(config="tests/configs/tokenizers.yaml")
    (table,) = project.folder.glob("results/report/*/table.json")
    rows = {row["experiment"]: row for row in json.loads(table.read_text())}
    assert set(rows) == {"bpe", "bytes", "characters", "code-points", "words"}
    bits = {name: row["bits_per_byte"] for name, row in rows.items()}
    # The stories are ASCII: bytes and code points are the same symbols, of which code points leave more unused.
    assert bits["bytes"] == pytest.approx(bits["code-points"], rel=1e-3)
    assert bits["bpe"] < bits["bytes"]
    assert rows["words"]["spelled_bits_per_byte"] > 0.1
    assert {rows[name]["spelled_bits_per_byte"] for name in ("bpe", "bytes", "code-points")} == {None}
    (page,) = project.folder.glob("results/report/*/report.html")
    text = page.read_text(encoding="utf-8")
    assert "words: its tokenizer has an unknown token" in text
    assert "Bytes a token: bpe " in text
    assert "naive ∝ n^" in text
