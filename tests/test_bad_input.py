"""Bad input ends with exit code 2 and one line that says what is wrong, where, and how to mend it; nothing is half-written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.pipeline import ROOT, TINY, Project

pytestmark = pytest.mark.slow


def stage(name: str, settings: object, out: Path, **inputs: Path) -> subprocess.CompletedProcess[str]:
    """Run a stage script by hand with settings on standard input."""
    roles = [argument for role, folder in inputs.items() for argument in (f"--{role}", str(folder))]
    command = [sys.executable, "-m", f"stages.{name}", "--config", "-", *roles, "--out", str(out)]
    return subprocess.run(
        command, input=yaml.safe_dump(settings), cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )


def refused(done: subprocess.CompletedProcess[str], out: Path, *parts: str) -> None:
    """The process ended with code 2 and one error line that holds `parts`, and wrote no artifact."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in errors[0]
    assert not (out / "manifest.json").exists()
    assert not (out / ".draft").exists()


def folder(finished: Project, stage: str, name: str = "*") -> Path:
    (found,) = finished.folder.glob(f"results/{stage}/{name}-????????????")
    return found


def corpus(**settings: object) -> dict[str, object]:
    return {"source": "file", **settings}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("layers: 1", "layrs: 1", "experiments.gpt.model.layrs: unknown key 'layrs'; did you mean 'layers'?"),
        ("steps: 30", "steps: many", "experiments.gpt.training.steps: input should be a valid integer, not 'many'"),
        ("tokenizer: bpe", "tokenizer: bep", "experiments.trigram.tokenizer: unknown tokenizer 'bep'; did you mean 'bpe'?"),
        ("vocab_size: 400", "vocab_size: 256", "tokenizers.bpe"),
        ("source: grammar, documents: 400", "source: file, paths: [nowhere/*.txt]", "nowhere/*.txt"),
    ],
)
def test_a_mistake_in_the_config_ends_the_run_before_it_starts(
    finished: Project, tmp_path: Path, old: str, new: str, line: str
) -> None:
    text = (ROOT / TINY).read_text()
    assert old in text
    (tmp_path / "bad.yaml").write_text(text.replace(old, new, 1))
    done = finished.snakemake(config=str(tmp_path / "bad.yaml"), check=False)
    errors = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert done.returncode == 2
    assert len(errors) == 1
    assert line in errors[0]
    assert str(tmp_path / "bad.yaml") in errors[0]


def test_a_run_ends_with_what_a_stage_refused_and_can_be_repeated(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    (project.folder / "program.txt").write_bytes(b"\x00\xff")
    text = (ROOT / TINY).read_text().replace("source: grammar, documents: 400", "source: file, paths: [program.txt]")
    (project.folder / "bad.yaml").write_text(text)
    for _ in range(2):
        done = project.snakemake(config="bad.yaml", check=False)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error: corpus: program.txt: ")


def test_missing_file(tmp_path: Path) -> None:
    done = stage("corpus", corpus(paths=[str(tmp_path / "none.txt")]), tmp_path / "out")
    refused(done, tmp_path / "out", str(tmp_path / "none.txt"))


def test_binary_file_as_text(tmp_path: Path) -> None:
    (tmp_path / "program.txt").write_bytes(b"fine so far\x00\xff\xfe\x01" * 100)
    done = stage("corpus", corpus(paths=[str(tmp_path / "program.txt")]), tmp_path / "out")
    refused(done, tmp_path / "out", "program.txt")


def test_empty_corpus(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n\n")
    done = stage("corpus", corpus(paths=[str(tmp_path / "empty.txt")]), tmp_path / "out")
    refused(done, tmp_path / "out", "document")


@pytest.fixture
def server() -> Iterator[str]:
    """A web server that answers every request with the same text."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_wrong_checksum(tmp_path: Path, server: str) -> None:
    files = [{"url": f"{server}/text.txt", "sha256": "0" * 64}]
    done = stage("corpus", {"source": "url", "files": files}, tmp_path / "out")
    refused(done, tmp_path / "out", "text.txt", "sha256")


def test_vocabulary_below_the_bytes_and_specials(finished: Project, tmp_path: Path) -> None:
    done = stage("bpe", {"vocab_size": 256}, tmp_path / "out", corpus=folder(finished, "corpus"))
    refused(done, tmp_path / "out", "256", "257")


def test_context_longer_than_the_split(finished: Project, tmp_path: Path) -> None:
    model = {"family": "transformer", "layers": 1, "heads": 1, "d_model": 8, "context_length": 10_000_000}
    done = stage("train", {"model": model}, tmp_path / "out", tokens=folder(finished, "tokenize"))
    refused(done, tmp_path / "out", "10,000,000", "context_length")


def test_damaged_artifact(finished: Project, tmp_path: Path) -> None:
    damaged = tmp_path / "corpus"
    shutil.copytree(folder(finished, "corpus"), damaged)
    shard = next(damaged.glob("train-*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    done = stage("bpe", {"vocab_size": 300}, tmp_path / "out", corpus=damaged)
    refused(done, tmp_path / "out", str(damaged), shard.name, "is damaged", "delete the folder")


def test_tokenizer_that_does_not_match_the_model(finished: Project, tmp_path: Path) -> None:
    other = tmp_path / "tokenizer"
    assert stage("bpe", {"vocab_size": 300}, other, corpus=folder(finished, "corpus")).returncode == 0
    done = stage("decode", {}, tmp_path / "out", model=folder(finished, "train", "gpt"), tokenizer=other)
    refused(done, tmp_path / "out", "tokenizer")


def test_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs more rights than these tests have")
    try:
        done = stage("corpus", {"source": "grammar", "documents": 2000}, disk / "out")
        refused(done, disk / "out", "No space left on device", "free some space")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_read_only_output(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a read-only file system needs more rights than these tests have")
    try:
        done = stage("corpus", {"source": "grammar", "documents": 20}, disk / "out")
        refused(done, disk / "out", str(disk / "out"), "Read-only file system", "where you may write")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
