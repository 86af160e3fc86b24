"""Train a tokenizer on the train split of a corpus.

python -m stages.bpe --config FILE --corpus DIR --out DIR
"""

from typing import Any

from stages.lm import artifacts, script
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.files import save_tokenizer
from stages.lm.bpe.settings import TokenizerSettings
from stages.lm.bpe.statistics import bytes_per_token, longest_tokens
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.bpe.training import train_documents
from stages.lm.corpus import store
from stages.lm.errors import UserError
from stages.lm.settings import parse


def main() -> None:
    args = script.arguments("bpe", __doc__, inputs=("corpus",))
    settings = parse(TokenizerSettings, args.settings, args.config)
    corpus = artifacts.read(args.inputs["corpus"], "corpus")
    with artifacts.writing(args.out, "bpe", settings.resolved(), {"corpus": corpus}) as draft:
        batches = (Documents.of_column(batch.column(0)) for batch in store.batches(corpus.path, "train"))
        trained = train_documents(batches, settings.vocab_size, settings.special_tokens, settings.pattern)
        if not trained.words:
            raise UserError(f"{corpus.path}: its train split has no text to learn from; give the corpus more documents")
        script.log.info("%s words, %s distinct", f"{trained.words:,}", f"{trained.distinct_words:,}")
        if len(trained.vocab) < settings.vocab_size:
            script.log.info("no pair is left to merge, so the vocabulary ends at %s tokens", f"{len(trained.vocab):,}")
        tokenizer = Tokenizer(trained.vocab, trained.merges, settings.special_tokens, settings.pattern)
        save_tokenizer(draft.path, tokenizer)
        stats = {
            "vocab_size": tokenizer.vocab_size,
            "merges": len(trained.merges),
            "special_tokens": tokenizer.special_tokens,
            "end_of_text": tokenizer.end_of_text,
            "words": trained.words,
            "distinct_words": trained.distinct_words,
            "longest_tokens": [token.decode("utf-8", "backslashreplace") for token in longest_tokens(tokenizer, 20)],
            "valid_bytes_per_token": bytes_per_token(tokenizer, store.documents(corpus.path, "valid")),
        }
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(corpus.id, settings, tokenizer, stats))
    script.log.info("%s tokens, %s merges", f"{stats['vocab_size']:,}", f"{stats['merges']:,}")


def readme(corpus: str, settings: TokenizerSettings, tokenizer: Tokenizer, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    compression = stats["valid_bytes_per_token"]
    shown = [
        f"`{first.decode('utf-8', 'replace')}` + `{second.decode('utf-8', 'replace')}`" for first, second in tokenizer.merges
    ]
    return f"""# Tokenizer of {corpus}

Byte-pair encoding: {stats["vocab_size"]:,} tokens (256 bytes, {len(settings.special_tokens)} special, {stats["merges"]:,} merges)
learned from {stats["words"]:,} words ({stats["distinct_words"]:,} distinct) with the pattern `{settings.pattern}`.
A token stands for {f"{compression:.3f}" if compression else "an unknown number of"} bytes of the valid split (its first 10 MB).

- special tokens: {", ".join(f"`{token}` {index}" for token, index in stats["special_tokens"].items())}; the first one ends a text
- first merges: {", ".join(shown[:10])}
- last merges: {", ".join(shown[-10:])}
- longest tokens: {", ".join(f"`{token}`" for token in stats["longest_tokens"])}

Files: `vocab.json` and `merges.txt` (GPT-2), `tokenizer.json` (Hugging Face), `tokenizer.tiktoken` (ranks for tiktoken).
"""


if __name__ == "__main__":
    script.run(main)
