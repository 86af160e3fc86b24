"""Encode the documents of a corpus as arrays of token ids.

python -m stages.tokenize --config FILE --corpus DIR --tokenizer DIR --out DIR
"""

from typing import Any

from stages.lm import artifacts, script
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.files import load_tokenizer
from stages.lm.corpus.store import SPLITS, batches
from stages.lm.settings import parse
from stages.lm.tokenization import TokenizeSettings, write_split


def main() -> None:
    args = script.arguments("tokenize", __doc__, inputs=("corpus", "tokenizer"))
    settings = parse(TokenizeSettings, args.settings, args.config)
    corpus = artifacts.read(args.inputs["corpus"], "corpus")
    trained = artifacts.read(args.inputs["tokenizer"], "bpe")
    tokenizer = load_tokenizer(trained.path)
    stats: dict[str, Any] = {
        "vocab_size": tokenizer.vocab_size,
        "end_of_text": tokenizer.end_of_text,
        "tokenizer": trained.digest,
        "splits": {},
    }
    with artifacts.writing(args.out, "tokenize", settings.resolved(), {"corpus": corpus, "tokenizer": trained}) as draft:
        for split in SPLITS:
            documents = (Documents.of_column(batch.column(0)) for batch in batches(corpus.path, split))
            counts = write_split(documents, draft.path, split, trained.path, settings)
            stats["splits"][split] = counts
            script.log.info("%s: %s tokens of %s documents", split, f"{counts['tokens']:,}", f"{counts['documents']:,}")
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(corpus.id, trained.id, stats))


def readme(corpus: str, tokenizer: str, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    rows = [
        f"| {split} | {counts['documents']:,} | {counts['tokens']:,} | {counts['bytes']:,} | "
        f"{'–' if counts['bytes_per_token'] is None else format(counts['bytes_per_token'], '.3f')} |"
        for split, counts in stats["splits"].items()
    ]
    table = "\n".join(rows)
    return f"""# {corpus} as tokens of {tokenizer}

| split | documents | tokens | bytes | bytes per token |
|---|---|---|---|---|
{table}

Tokens include the end-of-text id {stats["end_of_text"]} that follows every document; bytes per token are those of the text alone.

- `SPLIT.npy`: the ids, one document after the other
- `SPLIT.offsets.npy`: where each document begins; one entry more than documents
- `SPLIT.bytes.npy`: the UTF-8 length of each document
"""


if __name__ == "__main__":
    script.run(main)
