"""Predict every document of a split with a trained model: bits per byte, perplexity, distance to the source.

python -m stages.evaluate --config FILE --model DIR --tokens DIR --corpus DIR --out DIR
"""

import argparse
from typing import Any

import numpy as np

from stages.lm import artifacts, script
from stages.lm.artifacts import Artifact
from stages.lm.corpus import store
from stages.lm.errors import UserError
from stages.lm.evaluation.losses import document_losses
from stages.lm.evaluation.scores import Documents, scores
from stages.lm.evaluation.settings import EvaluationSettings
from stages.lm.inference import loading
from stages.lm.settings import parse
from stages.lm.tokens import TokenArray


def main() -> None:
    args = script.arguments("evaluate", __doc__, inputs=("model", "tokens", "corpus"), extend=add_options)
    settings = parse(EvaluationSettings, args.settings, args.config)
    model = artifacts.read(args.inputs["model"], "train")
    tokens = artifacts.read(args.inputs["tokens"], "tokenize")
    corpus = artifacts.read(args.inputs["corpus"], "corpus")
    check_inputs(model, tokens, corpus)

    array = TokenArray.open(tokens.path, settings.split)
    trained = loading.load(model, settings.device, settings.threads)
    with artifacts.writing(
        args.out, "evaluate", settings.resolved(), {"model": model, "tokens": tokens, "corpus": corpus}, {trained.module}
    ) as draft:
        draft.seed = settings.seed
        nats = document_losses(trained, array, args.options.batch_tokens)
        documents = Documents(nats, np.diff(array.offsets), array.document_bytes, source_bits(corpus, settings.split))
        entropy = corpus.json("stats.json")["entropy"]
        stats = scores(documents, entropy and entropy["bits_per_byte"], settings)
        np.save(draft.path / "losses.npy", nats)
        np.save(draft.path / "bytes.npy", documents.bytes)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(model.id, stats))
    script.log.info("%s", summary(stats))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch-tokens", type=int, metavar="N", help="most ids that go through the model at once")


def check_inputs(model: Artifact, tokens: Artifact, corpus: Artifact) -> None:
    """Raise UserError unless the three artifacts belong together."""
    made_of = tokens.manifest["inputs"]
    loading.check_tokenizer(model, made_of["tokenizer"]["digest"], tokens.path)
    if made_of["corpus"]["digest"] != corpus.digest:
        raise UserError(
            f"{corpus.path}: is not the corpus that {tokens.path} was made of, which is {made_of['corpus']['id']}; give that one"
        )


def source_bits(corpus: Artifact, split: str) -> Any:
    """The surprisal of each document under the source, in bits: float64 (documents,), None where it is not known."""
    if corpus.json("stats.json")["entropy"] is None:
        return None
    columns = [batch.column("bits").to_numpy() for batch in store.batches(corpus.path, split, columns=("bits",))]
    return np.concatenate(columns)


def summary(stats: dict[str, Any]) -> str:
    """The result in one line."""
    bits = stats["bits_per_byte"]
    line = f"{bits['value']:.4f} bits per byte [{bits['low']:.4f}, {bits['high']:.4f}]"
    line += f", perplexity {stats['perplexity']['value']:.2f}"
    if stats["source"]:
        line += f", {stats['source']['excess_percent']['value']:.2f} % above the source"
    return line


def readme(model: str, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    return f"""# Evaluation of {model}

{summary(stats)}.

The split `{stats["split"]}` has {stats["documents"]:,} documents ({stats["bytes"]:,} bytes, {stats["tokens"]:,} tokens); each was
predicted on its own. An interval holds {stats["confidence"]:.0%} of the values over documents drawn with replacement.

- `stats.json`: all results
- `losses.npy`: the loss of each document in nats, its end-of-text token included (float64)
- `bytes.npy`: the length of each document in UTF-8 bytes (int64)
"""


if __name__ == "__main__":
    script.run(main)
