"""Encode the documents of a corpus as arrays of token ids, both sides of a parallel one.

python -m stages.tokenize --config FILE --corpus DIR --tokenizer DIR --out DIR
"""

from typing import Any

import numpy as np

from stages.lm import artifacts, script
from stages.lm.bpe.documents import Documents
from stages.lm.corpus.store import SPLITS, batches, text_columns
from stages.lm.settings import parse
from stages.lm.tokenization import TokenizeSettings, write_split
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.tokenizers.words import word_starts
from stages.lm.tokens import SIDES, WORDS, side_name


def main() -> None:
    args = script.arguments("tokenize", __doc__, inputs=("corpus", "tokenizer"))
    settings = parse(TokenizeSettings, args.settings, args.config)
    corpus = artifacts.read(args.inputs["corpus"], "corpus")
    trained = artifacts.read(args.inputs["tokenizer"], "bpe")
    tokenizer = read_tokenizer(trained.path)
    stats: dict[str, Any] = {
        "vocab_size": tokenizer.vocab_size,
        "end_of_text": tokenizer.end_of_text,
        "tokenizer": trained.digest,
        "splits": {},
    }
    with artifacts.writing(args.out, "tokenize", settings.resolved(), {"corpus": corpus, "tokenizer": trained}) as draft:
        columns = text_columns(corpus.path)
        for split in SPLITS:
            names = [split] if len(columns) == 1 else [side_name(split, side) for side in SIDES]
            sides = []
            for column, name in zip(columns, names, strict=True):
                documents = (Documents.of_column(batch.column(0)) for batch in batches(corpus.path, split, (column,)))
                sides.append(write_split(documents, draft.path, name, trained.path, settings))
            counts = stats["splits"][split] = sides[0] if len(sides) == 1 else both(*sides)
            script.log.info("%s: %s tokens of %s documents", split, f"{counts['tokens']:,}", f"{counts['documents']:,}")
        np.save(draft.path / WORDS, word_starts(tokenizer))
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(corpus.id, trained.id, stats))


def both(source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """The counts of a split of pairs: of both sides together, and of each."""
    total = {key: source[key] + target[key] for key in ("tokens", "bytes")}
    text_tokens = total["tokens"] - 2 * source["documents"]
    return {
        "tokens": total["tokens"],
        "documents": source["documents"],
        "bytes": total["bytes"],
        "bytes_per_token": total["bytes"] / text_tokens if text_tokens else None,
        **{key: None if source[key] is None else source[key] + target[key] for key in ("unknown", "spelled")},
        "source": source,
        "target": target,
    }


def readme(corpus: str, tokenizer: str, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    rows = [
        f"| {split} | {counts['documents']:,} | {counts['tokens']:,} | {counts['bytes']:,} | "
        f"{'–' if counts['bytes_per_token'] is None else format(counts['bytes_per_token'], '.3f')} | "
        f"{'none can be' if counts['unknown'] is None else format(counts['unknown'], ',')} |"
        for split, counts in stats["splits"].items()
    ]
    table = "\n".join(rows)
    parallel = any("target" in counts for counts in stats["splits"].values())
    name = "SPLIT.SIDE" if parallel else "SPLIT"
    sides = (
        "\nDocuments are sentence pairs, counted with both sides: `source` and, in the same order, `target`.\n"
        if parallel
        else ""
    )
    return f"""# {corpus} as tokens of {tokenizer}

| split | documents | tokens | bytes | bytes per token | unknown tokens |
|---|---|---|---|---|---|
{table}

Tokens include the end-of-text id {stats["end_of_text"]} that follows every document; bytes per token are those of the text alone.
{sides}
- `{name}.npy`: the ids, one document after the other
- `{name}.offsets.npy`: where each document begins; one entry more than documents
- `{name}.bytes.npy`: the UTF-8 length of each document
- `words.npy`: whether each token of the vocabulary begins a word
- `{name}.spelled.npy`, where the tokenizer has an unknown token: the letters that spell what it hides in each document
"""


if __name__ == "__main__":
    script.run(main)
