"""Show what a trained model says: continuations of prompts, translations, blanks filled in, or neighbours of word vectors.

python -m stages.decode --config FILE --model DIR --tokenizer DIR [--draft DIR] [--corpus DIR] [--tokens DIR] --out DIR
python -m stages.decode play --model DIR --tokenizer DIR

The second is a playground in the terminal.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from stages.lm import artifacts, script
from stages.lm.artifacts import Artifact
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.evaluation.quality import quality
from stages.lm.inference import loading
from stages.lm.inference.alignment import alignments
from stages.lm.inference.filling import fill
from stages.lm.inference.generation import Request, Token, collected, sample_generator, stream
from stages.lm.inference.loading import Trained
from stages.lm.inference.settings import DecodingSettings, FillingSettings, NeighbourSettings, TranslationSettings
from stages.lm.inference.stopping import Stop, stop_of
from stages.lm.inference.translating import chosen_pairs, translate_all
from stages.lm.inference.vectors import Words
from stages.lm.inference.wording import (
    blanks_readme,
    readable,
    readable_blanks,
    readable_neighbours,
    readable_translations,
    readme,
    statistics,
    translations_readme,
    vectors_readme,
)
from stages.lm.models import registry
from stages.lm.progress import progress
from stages.lm.settings import parse
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.tokens import TokenArray
from stages.lm.training.contexts import token_counts


def main() -> None:
    if sys.argv[1:2] == ["play"]:
        # Loaded by name, it is no part of this stage's code version: it makes no artifact.
        sys.exit(import_module("stages.lm.inference.playground").play(sys.argv[2:]))
    args = script.arguments("decode", __doc__, inputs=("model", "tokenizer"), extend=add_options)
    inputs = {
        "model": artifacts.read(args.inputs["model"], "train"),
        "tokenizer": artifacts.read(args.inputs["tokenizer"], "bpe"),
    }
    registry.check_tokenizer(inputs["model"].path, inputs["tokenizer"].digest, inputs["tokenizer"].path)
    task = registry.describe(inputs["model"].path).settings.task
    ways = {"language model": write_texts, "translation": write_translations, "masked": fill_blanks, "vectors": show_vectors}
    ways[task](args, inputs)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draft", type=Path, metavar="DIR", help="the train artifact of the experiment `draft`")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="the corpus artifact, for a model that translates a split")
    parser.add_argument("--tokens", type=Path, metavar="DIR", help="the token artifact, for word vectors")


def write_texts(args: script.Arguments, inputs: dict[str, Artifact]) -> None:
    """Texts that begin with the prompts."""
    settings = parse(DecodingSettings, args.settings, args.config)
    inputs = inputs | draft_of(args, settings, inputs["tokenizer"])
    texts = read_tokenizer(inputs["tokenizer"].path)
    trained = loading.load(inputs["model"], settings.device, settings.threads, settings.precision, settings.compile)
    drafter = loading.load(inputs["draft"], settings.device, settings.threads) if "draft" in inputs else None
    modules = {trained.module, *settings.modules, *([drafter.module] if drafter else [])}
    stop, requests = stop_of(settings, trained.end_of_text, texts), requests_of(texts, settings)
    tokens, tally = written(trained, drafter, requests, settings, stop)
    with artifacts.writing(args.out, "decode", settings.resolved(), inputs, modules) as draft:
        draft.seed, draft.volatile = settings.seed, {"timing.json"}
        began = time.perf_counter()
        completions = collected(watched(tokens, len(requests)), len(requests), stop)
        seconds = time.perf_counter() - began
        shown = {key: value for key, value in settings.resolved().items() if key != "prompts"}
        samples: list[dict[str, Any]] = [
            {
                "prompt": settings.prompts[number // settings.samples],
                "sample": number % settings.samples,
                "completion": (texts.decode_bytes(completion.tokens) + completion.rest).decode("utf-8", errors="replace"),
                "tokens": len(completion.tokens),
                "stop_reason": completion.stop_reason,
                **({"ids": completion.tokens, "log_probs": completion.log_probs} if settings.log_probs else {}),
                "seed": settings.seed,
                "settings": shown,
            }
            for number, completion in enumerate(completions)
        ]
        draft.write_text("samples.jsonl", "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples))
        draft.write_text("samples.txt", readable(samples))
        draft.write_json("timing.json", speed(samples, settings, seconds))
        stats = statistics(samples) | {"quality": quality([sample["completion"] for sample in samples])}
        stats |= {"speculation": tally.summary()} if tally else {}
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(inputs["model"].id, settings, stats))
    script.log.info("%s", readable(samples[:1]).strip())


def draft_of(args: script.Arguments, settings: DecodingSettings, tokenizer: Artifact) -> dict[str, Artifact]:
    """The model that drafts, where the settings want one. Raises UserError where it is not given, or has another tokenizer."""
    if settings.draft is None:
        return {}
    if args.options.draft is None:
        raise UserError(f"--draft: is needed, the train artifact of {settings.draft!r}; give it, or set draft to null")
    draft = artifacts.read(args.options.draft, "train")
    registry.check_tokenizer(draft.path, tokenizer.digest, tokenizer.path)
    return {"draft": draft}


def written(
    trained: Trained, drafter: Trained | None, requests: list[Request], settings: DecodingSettings, stop: Stop
) -> tuple[Iterator[Token], Any]:
    """The tokens as they come; and where there is a draft, what comes of it.

    Loaded by name, what drafts or searches is a part of this stage's code version only where it is used: see
    `DecodingSettings.modules`.
    """
    if settings.beams > 1:
        return import_module("stages.lm.inference.beams").search(trained, requests, settings), None
    if drafter is None:
        return stream(trained, requests, settings, stop, settings.at_once), None
    speculation = import_module("stages.lm.inference.speculation")
    speculation.check(trained, drafter)
    tally = speculation.Tally()
    return speculation.speculate(trained, drafter, requests, settings, stop, tally), tally


def requests_of(texts: TextTokenizer, settings: DecodingSettings) -> list[Request]:
    """As many texts for each prompt as the settings say, those of the first prompt first."""
    return [
        Request(texts.encode(prompt), sample_generator(settings.seed, number, sample))
        for number, prompt in enumerate(settings.prompts)
        for sample in range(settings.samples)
    ]


def watched(tokens: Iterable[Token], count: int) -> Iterator[Token]:
    """The tokens of so many texts, with a bar that shows how many are done."""
    with progress("decode", count, " texts") as bar:
        for token in tokens:
            bar.update(token.stop_reason is not None)
            yield token


def speed(samples: list[dict[str, Any]], settings: DecodingSettings, seconds: float) -> dict[str, Any]:
    """How fast the texts were written, so many of them at once; reading the prompts is part of it.

    Estimates know of the model alone: where it is not, `at_once` is null, and nothing is compared.
    """
    tokens = sum(sample["tokens"] for sample in samples)
    return {
        "seconds": seconds,
        "tokens": tokens,
        "at_once": settings.at_once if settings.is_plain else None,
        "tokens_per_second": tokens / seconds,
    }


def write_translations(args: script.Arguments, inputs: dict[str, Artifact]) -> None:
    """Translations of given sentences, and of a split beside its references."""
    settings = parse(TranslationSettings, args.settings, args.config)
    pairs: list[tuple[str, str | None]] = [(sentence, None) for sentence in settings.sentences]
    if settings.split is not None:
        if args.options.corpus is None:
            raise UserError(f"--corpus: is needed to translate the split {settings.split!r}; give it, or set split to null")
        inputs = inputs | {"corpus": artifacts.read(args.options.corpus, "corpus")}
        pairs += chosen_pairs(inputs["corpus"].path, settings.split, settings.examples)
    texts = read_tokenizer(inputs["tokenizer"].path)
    trained = loading.load(inputs["model"], settings.device, settings.threads)
    with artifacts.writing(args.out, "decode", settings.resolved(), inputs, {trained.module}) as draft:
        sources = [[*texts.encode(sentence), trained.end_of_text] for sentence, _ in pairs]
        found = translate_all(trained, sources, settings.search)
        shown = {key: value for key, value in settings.resolved().items() if key != "sentences"}
        samples: list[dict[str, Any]] = [
            {
                "prompt": sentence,
                "reference": reference,
                "completion": texts.decode(translation.tokens),
                "tokens": len(translation.tokens),
                "stop_reason": "end of text" if translation.ended else "max tokens",
                "log_prob": translation.log_prob,
                "settings": shown,
            }
            for (sentence, reference), translation in zip(pairs, found, strict=True)
        ]
        draft.write_text("samples.jsonl", "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples))
        draft.write_text("samples.txt", readable_translations(samples))
        draft.write_json("alignments.json", alignments(trained, texts, sources, found))
        stats = statistics(samples)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", translations_readme(inputs["model"].id, settings, stats))
    script.log.info("%s", readable_translations(samples[:3]).strip())


def fill_blanks(args: script.Arguments, inputs: dict[str, Artifact]) -> None:
    """The most probable tokens for the blanks of the prompts."""
    settings = parse(FillingSettings, args.settings, args.config)
    texts = read_tokenizer(inputs["tokenizer"].path)
    trained = loading.load(inputs["model"], settings.device, settings.threads)
    with artifacts.writing(args.out, "decode", settings.resolved(), inputs, {trained.module}) as draft:
        samples = [fill(trained, texts, prompt, settings) for prompt in settings.prompts]
        draft.write_text("samples.jsonl", "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples))
        draft.write_text("samples.txt", readable_blanks(samples))
        draft.write_json("stats.json", {"samples": len(samples), "tokens": sum(sample["tokens"] for sample in samples)})
        draft.write_text("README.md", blanks_readme(inputs["model"].id, samples))
    script.log.info("%s", readable_blanks(samples).strip())


def show_vectors(args: script.Arguments, inputs: dict[str, Artifact]) -> None:
    """The neighbours of frequent words, and a picture of them."""
    settings = parse(NeighbourSettings, args.settings, args.config)
    if args.options.tokens is None:
        raise UserError("--tokens: is needed to know which words are frequent; give the artifact that the model was trained on")
    inputs = inputs | {"tokens": artifacts.read(args.options.tokens, "tokenize")}
    registry.check_tokenizer(inputs["model"].path, inputs["tokens"].json("stats.json")["tokenizer"], inputs["tokens"].path)
    trained = loading.load(inputs["model"], "cpu", 1)
    with artifacts.writing(args.out, "decode", settings.resolved(), inputs, {trained.module}) as draft:
        counts = token_counts(TokenArray.open(inputs["tokens"].path, "train"), trained.model.vocab_size)
        words = Words(trained, read_tokenizer(inputs["tokenizer"].path), counts)
        near = [
            {"word": words.names[place], "neighbours": words.neighbours(place, settings.neighbours)}
            for place in range(min(settings.words, len(words.ids)))
        ]
        names, points, shown = words.picture(settings.pictured)
        draft.write_json("neighbours.json", near)
        draft.write_json("picture.json", {"words": names, "points": points.round(4).tolist(), "variance": round(shown, 4)})
        draft.write_json("stats.json", {"words": len(words.ids), "shown": len(near)})
        draft.write_text("README.md", vectors_readme(inputs["model"].id, near))
    script.log.info("%s", readable_neighbours(near).strip())


if __name__ == "__main__":
    script.run(main)
