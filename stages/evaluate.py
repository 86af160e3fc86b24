"""Predict every document of a split with a trained model: bits per byte, perplexity, distance to the source.

python -m stages.evaluate --config FILE --model DIR --tokens DIR --corpus DIR [--tokenizer DIR] --out DIR

A language model may be given tasks, which need the tokenizer too. A model that translates is measured by its translations of a
split (BLEU, chrF) and needs the tokenizer too; one that sees both directions by the hidden tokens that it finds; word vectors,
which need the tokenizer, by their loss and by analogies.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from stages.lm import artifacts, script
from stages.lm.artifacts import Artifact
from stages.lm.corpus import store
from stages.lm.errors import UserError
from stages.lm.evaluation.calibration import calibration, guess_documents
from stages.lm.evaluation.classification import classify
from stages.lm.evaluation.losses import position_losses
from stages.lm.evaluation.masked import fill_documents, masked_readme, masked_statistics, masked_summary
from stages.lm.evaluation.overlap import overlap, seen_tokens
from stages.lm.evaluation.positions import by_position
from stages.lm.evaluation.scores import Documents, scores
from stages.lm.evaluation.settings import (
    EvaluationSettings,
    MaskedEvaluationSettings,
    TranslationEvaluationSettings,
    VectorEvaluationSettings,
)
from stages.lm.evaluation.tasks.scoring import measure_tasks
from stages.lm.evaluation.tasks.sources import task_examples, task_hashes
from stages.lm.evaluation.translation import (
    reference_losses,
    statistics,
    translation_lines,
    translation_readme,
    translation_scores,
    translation_summary,
)
from stages.lm.evaluation.vectors import held_out_loss, vector_readme, vector_statistics, vector_summary
from stages.lm.evaluation.wording import readme, summary
from stages.lm.inference import loading
from stages.lm.inference.translating import translate_all
from stages.lm.inference.vectors import Words
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.tokens import PairArray, TokenArray
from stages.lm.training.contexts import token_counts


def main() -> None:
    args = script.arguments("evaluate", __doc__, inputs=("model", "tokens", "corpus"), extend=add_options)
    inputs = {
        "model": artifacts.read(args.inputs["model"], "train"),
        "tokens": artifacts.read(args.inputs["tokens"], "tokenize"),
        "corpus": artifacts.read(args.inputs["corpus"], "corpus"),
    }
    check_inputs(**inputs)
    task = registry.describe(inputs["model"].path).settings.task
    evaluations = {
        "language model": evaluate_documents,
        "translation": evaluate_translations,
        "masked": evaluate_blanks,
        "vectors": evaluate_vectors,
    }
    evaluations[task](args, inputs)


def evaluate_documents(args: script.Arguments, inputs: dict[str, Artifact]) -> None:
    """The losses of a language model, and what it makes of tasks."""
    settings = parse(EvaluationSettings, args.settings, args.config)
    examples = task_examples(settings.tasks)
    model, tokens, corpus = inputs.values()
    if examples:
        inputs = inputs | {"tokenizer": tokenizer_of(args, model, "to read the tasks")}
    array = TokenArray.open(tokens.path, settings.split)
    trained = loading.load(model, settings.device, settings.threads)
    with artifacts.writing(args.out, "evaluate", settings.resolved(), inputs, {trained.module}) as draft:
        draft.seed = settings.seed
        losses = position_losses(trained, array, args.options.batch_tokens, settings.stride)
        source = source_bits(corpus, settings.split)
        documents = Documents(losses.nats.sum(axis=1), np.diff(array.offsets), array.document_bytes, source, array.spelled)
        entropy = corpus.json("stats.json")["entropy"]
        stats = scores(documents, entropy and entropy["bits_per_byte"], settings)
        stats |= {"positions": by_position(losses, settings), "calibration": None, "overlap": None, "tasks": {}}
        if settings.calibration is not None:
            stats["calibration"] = calibration(guess_documents(trained, array, settings.calibration), settings)
        if settings.overlap is not None and settings.split != "train":
            seen = seen_tokens(array, TokenArray.open(tokens.path, "train"), settings.overlap.n)
            stats["overlap"] = overlap(documents, seen, settings.overlap.n, settings)
        if examples:
            texts = read_tokenizer(inputs["tokenizer"].path)
            stats["tasks"], lines = measure_tasks(trained, texts, examples, settings, args.options.batch_tokens)
            stats["task_files"] = task_hashes(settings.tasks)
            draft.write_text("tasks.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        np.save(draft.path / "losses.npy", documents.cost)
        np.save(draft.path / "bytes.npy", documents.bytes)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(model.id, stats))
    script.log.info("%s", summary(stats))


def evaluate_translations(args: script.Arguments, inputs: dict[str, Artifact]) -> None:
    """The translations of a translator, and the losses of the references."""
    settings = parse(TranslationEvaluationSettings, args.settings, args.config)
    tokenizer = tokenizer_of(args, inputs["model"], "to read what a translator writes")
    model, tokens, corpus = inputs.values()
    pairs, texts = PairArray.open(tokens.path, settings.split), read_tokenizer(tokenizer.path)
    trained = loading.load(model, settings.device, settings.threads)
    inputs = inputs | {"tokenizer": tokenizer}
    with artifacts.writing(args.out, "evaluate", settings.resolved(), inputs, {trained.module}) as draft:
        draft.seed, draft.volatile = settings.seed, {"timing.json"}
        nats = reference_losses(trained, pairs)
        began = time.perf_counter()
        found = translate_all(trained, [pairs.source.document(index) for index in range(len(pairs))], settings.search)
        seconds = time.perf_counter() - began
        sources, references = (list(store.documents(corpus.path, settings.split, column)) for column in store.TEXT_COLUMNS)
        hypotheses = [texts.decode(translation.tokens) for translation in found]
        lines = translation_lines(sources, references, hypotheses, nats)
        stats = statistics(nats, np.diff(pairs.target.offsets), translation_scores(hypotheses, references, settings), settings)
        np.save(draft.path / "losses.npy", nats)
        draft.write_text("translations.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        draft.write_json("stats.json", stats)
        draft.write_json("timing.json", {"seconds": seconds, "sentences_per_second": len(found) / seconds})
        draft.write_text("README.md", translation_readme(model.id, stats))
    script.log.info("%s", translation_summary(stats))


def evaluate_blanks(args: script.Arguments, inputs: dict[str, Artifact]) -> None:
    """How well hidden tokens are filled in, and what the encoder is worth for another task."""
    settings = parse(MaskedEvaluationSettings, args.settings, args.config)
    model, tokens, _ = inputs.values()
    array = TokenArray.open(tokens.path, settings.split)
    trained = loading.load(model, settings.device, settings.threads)
    with artifacts.writing(args.out, "evaluate", settings.resolved(), inputs, {trained.module}) as draft:
        draft.seed = settings.seed
        filled = fill_documents(trained, array, settings.documents)
        stats = masked_statistics(filled, settings)
        task, described = settings.classification, registry.describe(model.path).settings
        if task is not None:
            train = TokenArray.open(tokens.path, "train")
            stats["classification"] = classify(trained, described, train, array, settings.split, task)
        np.save(draft.path / "losses.npy", filled.nats)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", masked_readme(model.id, stats))
    script.log.info("%s", masked_summary(stats))


def evaluate_vectors(args: script.Arguments, inputs: dict[str, Artifact]) -> None:
    """The loss of word vectors on held-out text, and analogies."""
    settings = parse(VectorEvaluationSettings, args.settings, args.config)
    inputs = inputs | {"tokenizer": tokenizer_of(args, inputs["model"], "to know the words")}
    model, tokens, _, tokenizer = inputs.values()
    train, held_out = (TokenArray.open(tokens.path, split) for split in ("train", settings.split))
    trained = loading.load(model, settings.device, settings.threads)
    with artifacts.writing(args.out, "evaluate", settings.resolved(), inputs, {trained.module}) as draft:
        draft.seed = settings.seed
        words = Words(trained, read_tokenizer(tokenizer.path), token_counts(train, trained.model.vocab_size))
        loss = held_out_loss(trained, registry.describe(model.path).settings, train, held_out, settings.seed)
        stats = vector_statistics(loss, words, settings)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", vector_readme(model.id, stats))
    script.log.info("%s", vector_summary(stats))


def tokenizer_of(args: script.Arguments, model: Artifact, purpose: str) -> Artifact:
    """The tokenizer artifact that the options name. Raises UserError where there is none, or not the model's."""
    if args.options.tokenizer is None:
        raise UserError(f"--tokenizer: is needed {purpose}; give the artifact that the model was trained with")
    tokenizer = artifacts.read(args.options.tokenizer, "bpe")
    registry.check_tokenizer(model.path, tokenizer.digest, tokenizer.path)
    return tokenizer


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch-tokens", type=int, metavar="N", help="most ids that go through the model at once")
    parser.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="the tokenizer artifact, for translators, word vectors and tasks"
    )


def check_inputs(model: Artifact, tokens: Artifact, corpus: Artifact) -> None:
    """Raise UserError unless the three artifacts belong together."""
    made_of = tokens.manifest["inputs"]
    registry.check_tokenizer(model.path, made_of["tokenizer"]["digest"], tokens.path)
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


if __name__ == "__main__":
    script.run(main)
