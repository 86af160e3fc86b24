"""Encoding splits: arrays equal to encoding each document, for any number of processes, in constant memory."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.lm import tokenization
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.files import load_tokenizer, save_tokenizer
from stages.lm.bpe.interface import AllowedSpecial
from stages.lm.bpe.pretokenization import WORDS
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.bpe.training import learn_merges
from stages.lm.errors import UserError
from stages.lm.tokenization import TokenizeSettings, write_file, write_split
from stages.lm.tokenizers.files import write_tokenizer
from stages.lm.tokenizers.symbols import SymbolTokenizer
from stages.lm.tokens import TokenArray

EOT = "<|endoftext|>"
DOCUMENTS = ["the cat sat", "", f"an {EOT} inside", "<|sep|>é\r\n\n", "the theory 🙂"]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    specials = [EOT, "<|sep|>"]
    vocab, merges = learn_merges({b"the": 3, b" cat": 2, b" sat": 1}, 263, specials)
    save_tokenizer(folder, Tokenizer(vocab, merges, specials))
    return folder


def encode(
    documents: list[str], out: Path, tokenizer_folder: Path, processes: int | None = None
) -> dict[str, int | float | None]:
    batches = [
        Documents.of_column(pa.array(documents[i : i + 20_000], pa.large_string())) for i in range(0, len(documents), 20_000)
    ]
    return write_split(batches, out, "train", tokenizer_folder, TokenizeSettings(), processes)


def test_each_document_ends_with_its_end_of_text(tmp_path: Path, tokenizer_folder: Path) -> None:
    counts = encode(DOCUMENTS, tmp_path, tokenizer_folder)
    array = TokenArray.open(tmp_path, "train")
    assert array.ids.dtype == np.uint16
    assert array.document_bytes.tolist() == [11, 0, 23, 12, 15]
    assert array.document(1).tolist() == [256]
    assert array.document(3).tolist() == [257, 0xC3, 0xA9, 13, 10, 10, 256]  # <|sep|> is one id
    assert np.count_nonzero(np.asarray(array.ids) == 256) == len(DOCUMENTS)  # a document's own text never ends it
    tokens = len(array.ids)
    lossless = {"unknown": None, "spelled": None}
    assert counts == {"tokens": tokens, "documents": 5, "bytes": 61, "bytes_per_token": 61 / (tokens - 5), **lossless}
    assert array.spelled is None


def test_an_empty_split(tmp_path: Path, tokenizer_folder: Path) -> None:
    counts = encode([], tmp_path, tokenizer_folder)
    assert (counts["tokens"], counts["documents"], counts["bytes"], counts["bytes_per_token"]) == (0, 0, 0, None)
    array = TokenArray.open(tmp_path, "train")
    assert (len(array), len(array.ids), array.offsets.tolist()) == (0, 0, [0])


def test_a_large_vocabulary_needs_wider_ids(tmp_path: Path) -> None:
    vocab = {byte: bytes([byte]) for byte in range(256)} | {70_000: EOT.encode()}
    save_tokenizer(tmp_path, Tokenizer(vocab, [], [EOT]))
    encode(["a"], tmp_path, tmp_path)
    array = TokenArray.open(tmp_path, "train")
    assert array.ids.dtype == np.uint32
    assert array.ids.tolist() == [97, 70_000]


@pytest.mark.parametrize("pattern", ["gpt2", r"\w+|\W"])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("repeats", [1, pytest.param(30_000, marks=pytest.mark.slow)])
def test_a_file_as_one_array(tmp_path: Path, pattern: str, workers: int, repeats: int) -> None:
    """Small or large, with a compiled pattern or another: the ids of the whole."""
    trained = learn_merges({b"the": 3, b" cat": 2, b" sat": 1}, 262, [EOT])
    tokenizer = Tokenizer(*trained, [EOT], pattern)
    text = f"the cat sat {EOT}\r\n an é🙂 the\n".encode() + b"\xff cat"
    file, out = tmp_path / "text.txt", tmp_path / "ids.npy"
    file.write_bytes(text * repeats)
    assert tokenization.write_file(file, out, tokenizer, workers) == len(np.load(out))
    assert np.load(out).tolist() == tokenizer.encode_bytes(text * repeats)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.txt: no such file"):
        tokenization.write_file(tmp_path / "nothing.txt", tmp_path / "ids.npy", Tokenizer({}, []))


class Lossy(Tokenizer):
    """A tokenizer that forgets case."""

    def encode_batch(self, texts: Iterable[str], allowed_special: AllowedSpecial = "all") -> list[list[int]]:
        return super().encode_batch([text.lower() for text in texts], allowed_special)


def test_a_lossy_tokenizer_is_refused(tmp_path: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = load_tokenizer(tokenizer_folder)
    lossy = Lossy(sound.vocab, sound.merges, list(sound.special_tokens))
    monkeypatch.setattr(tokenization, "_tokenizer", lambda _: lossy)
    encode(["the cat"], tmp_path, tokenizer_folder)
    with pytest.raises(UserError, match="does not give back the text of the document that begins 'The cat'"):
        encode(["The cat"], tmp_path, tokenizer_folder)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("text", ["", "the cat", f"the\r\n\r\ncat{EOT}{EOT} the the<|sep|>", "the theory 🙂 " * 3000 + "\n"])
def test_a_file_has_the_ids_of_its_text(tmp_path: Path, tokenizer_folder: Path, text: str, workers: int) -> None:
    (tmp_path / "text.txt").write_bytes(text.encode())
    tokenizer = load_tokenizer(tokenizer_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.lm.bpe.chunks.CHUNK_BYTES", 1000)
        length = write_file(tmp_path / "text.txt", tmp_path / "ids.npy", tokenizer, workers)
    ids = np.load(tmp_path / "ids.npy")
    assert ids.dtype == np.uint16
    assert ids.tolist() == tokenizer.encode(text)
    assert length == len(ids)


def test_unknown_words_are_counted_and_spelled(tmp_path: Path) -> None:
    """The bytes that no token stands for, and an end mark for each unknown word; documents without one must come back whole."""
    write_tokenizer(tmp_path, SymbolTokenizer(["the", " ", "cat"], [EOT], WORDS))
    counts = encode(["the cat", "", "the 🙂 theory", "cat\n"], tmp_path, tmp_path)
    array = TokenArray.open(tmp_path, "train")
    assert array.document(2).tolist() == [2, 3, 1, 3, 1, 0]
    assert array.spelled is not None
    assert array.spelled.tolist() == [0, 0, (4 + 1) + (6 + 1), 1 + 1]
    assert (counts["unknown"], counts["spelled"]) == (3, 14)
    (tmp_path / "none").mkdir()
    encode([], tmp_path / "none", tmp_path)
    assert (tmp_path / "none" / "train.spelled.npy").exists()


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(tmp_path: Path, tokenizer_folder: Path) -> None:
    documents = [f"the {i} theories of {DOCUMENTS[i % 5]}" * (i % 7) for i in range(60_000)]
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        encode(documents, tmp_path / str(processes), tokenizer_folder, processes)
    for file in (tmp_path / "1").iterdir():
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


PEAK = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from stages.lm.bpe.documents import Documents
from stages.lm.tokenization import TokenizeSettings, write_file, write_split
from stages.lm.tokenizers.files import write_tokenizer
from stages.lm.tokenizers.symbols import SymbolTokenizer
column = pa.array(["the cat sat on the theory " * 40] * 2_000, pa.large_string())
batches = (Documents.of_column(column) for _ in range(int(sys.argv[1])))
write_split(batches, Path(sys.argv[3]), "train", Path(sys.argv[2]), TokenizeSettings())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_split(tmp_path: Path, tokenizer_folder: Path, root: Path) -> None:
    """Peak memory in a process of its own, for 10 MB and for 100 MB of documents."""

    def peak_kib(batches: int) -> int:
        command = [sys.executable, "-c", PEAK, str(batches), str(tokenizer_folder), str(tmp_path)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout)

    small, large = peak_kib(5), peak_kib(50)
    assert large - small < 8 << 10
