"""ARPA files from token artifacts and trained models, and back.

    python -m stages.lm.models.ngram count --tokens DIR --out FILE [--order 5] [--smoothing NAME] [--memory 4.0]
    python -m stages.lm.models.ngram export --model DIR --out FILE
    python -m stages.lm.models.ngram score --arpa FILE --tokens DIR [--split test]

Words are the ids of tokens, or with --tokenizer DIR their text as GPT-2's vocabulary files write it, where a space is a Ġ.
"""

import argparse
import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stages.lm import artifacts, script
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.ngram.arpa import END, START, UNKNOWN, read_arpa, write_arpa
from stages.lm.models.ngram.backoff import probabilities
from stages.lm.models.ngram.estimation import estimate
from stages.lm.models.settings import NgramSettings
from stages.lm.settings import parse
from stages.lm.tokens import TokenArray


def main() -> None:
    arguments = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    {"count": count, "export": export, "score": score}[arguments.command](arguments)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m stages.lm.models.ngram", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = found.add_subparsers(dest="command", required=True)
    counting = commands.add_parser("count", help="count the split `train` of a token artifact and write the smoothed model")
    counting.add_argument("--tokens", type=Path, required=True, metavar="DIR")
    counting.add_argument("--order", type=int, default=5)
    counting.add_argument("--smoothing", default="kneser-ney")
    counting.add_argument(
        "--memory", type=float, metavar="GB", help="bound of the working memory (default: half of the machine's)"
    )
    exporting = commands.add_parser("export", help="write a trained model of the family ngram")
    exporting.add_argument("--model", type=Path, required=True, metavar="DIR")
    scoring = commands.add_parser("score", help="the perplexity of a model in a file on a split of a token artifact")
    scoring.add_argument("--arpa", type=Path, required=True, metavar="FILE")
    scoring.add_argument("--tokens", type=Path, required=True, metavar="DIR")
    scoring.add_argument("--split", default="test")
    for command in (counting, exporting, scoring):
        command.add_argument("--tokenizer", type=Path, metavar="DIR", help="the tokenizer artifact, for words as text")
    for command in (counting, exporting):
        command.add_argument("--out", type=Path, required=True, metavar="FILE")
    return found


def count(arguments: argparse.Namespace) -> None:
    tokens = artifacts.read(arguments.tokens, "tokenize")
    about = tokens.json("stats.json")
    values = {"family": "ngram", "order": arguments.order, "smoothing": arguments.smoothing}
    settings = parse(NgramSettings, values, "arguments")
    memory = int(arguments.memory * 1e9) if arguments.memory else None
    words = words_of(arguments.tokenizer, about["tokenizer"], about["vocab_size"], about["end_of_text"])
    tables = estimate(TokenArray.open(tokens.path, "train").ids, about["vocab_size"], settings, memory)
    publish(arguments.out, lambda file: write_arpa(file, tables, words, about["end_of_text"]))


def export(arguments: argparse.Namespace) -> None:
    from stages.lm.models.ngram.model import NgramLM

    folder = artifacts.read(arguments.model, "train").path
    about, model = registry.describe(folder), registry.load(folder)
    if not isinstance(model, NgramLM):
        raise UserError(f"{arguments.model}: is a model of family {about.family}; only one of family ngram can be an ARPA file")
    words = words_of(arguments.tokenizer, about.tokenizer, about.vocab_size, about.end_of_text)
    publish(arguments.out, lambda file: write_arpa(file, model.tables, words, about.end_of_text))


def score(arguments: argparse.Namespace) -> None:
    tokens = artifacts.read(arguments.tokens, "tokenize")
    about = tokens.json("stats.json")
    end = about["end_of_text"]
    words = words_of(arguments.tokenizer, about["tokenizer"], about["vocab_size"], end)
    tables = read_arpa(arguments.arpa, words, end)
    split = TokenArray.open(tokens.path, arguments.split)
    nats = 0.0
    for number in range(len(split)):
        ids = np.concatenate(([end], split.document(number).astype(np.int64)))
        with np.errstate(divide="ignore"):
            nats -= float(np.log(probabilities(tables, ids[None]))[0, 1:].sum())
    size = len(split.ids)
    bits = nats / math.log(2) / split.document_bytes.sum()
    sys.stdout.write(f"perplexity {np.exp(nats / size):.4f} over {size:,} tokens, {bits:.4f} bits per byte\n")


def words_of(folder: Path | None, digest: str, vocab_size: int, end_of_text: int) -> Sequence[str]:
    """The words that stand for tokens in a file: no two alike, without white space, and none that means something else.

    Raises UserError if the tokenizer is another than that with this digest.
    """
    if folder is None:
        return [str(token) for token in range(vocab_size)]
    from stages.lm.bpe.files import to_text
    from stages.lm.bpe.tokenizer import Tokenizer
    from stages.lm.tokenizers.files import read_tokenizer
    from stages.lm.tokenizers.symbols import SymbolTokenizer

    artifact = artifacts.read(folder, "bpe")
    if artifact.digest != digest:
        raise UserError(f"{folder}: is not the tokenizer {digest} that the tokens are of; give that one")
    tokenizer = read_tokenizer(artifact.path)
    if not isinstance(tokenizer, Tokenizer | SymbolTokenizer):
        raise UserError(f"{folder}: has no list of tokens; leave --tokenizer out, and words are the ids of tokens")
    reserved = {START, END, UNKNOWN}
    words = [to_text(tokenizer.vocab.get(token, f"unused-{token}".encode())) for token in range(vocab_size)]
    return [f"\\{word}" if word in reserved and token != end_of_text else word for token, word in enumerate(words)]


def publish(file: Path, write: Callable[[Path], None]) -> None:
    """Write a file under a temporary name and rename it, so that it is whole or absent."""
    draft = file.with_name(f".{file.name}.draft")
    try:
        write(draft)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    size = file.stat().st_size / 1e6
    logging.getLogger("stagecraft").info("%s: %.1f MB", file, size)


if __name__ == "__main__":
    script.run(main)
