"""Train a tokenizer on the train split of a corpus, on both sides of a parallel one.

python -m stages.bpe --config FILE --corpus DIR --out DIR
"""

from itertools import chain

from stages.lm import artifacts, script
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.settings import BpeSettings
from stages.lm.corpus import store
from stages.lm.settings import parse
from stages.lm.tokenizers.files import write_tokenizer
from stages.lm.tokenizers.readme import readme
from stages.lm.tokenizers.settings import TokenizerSettings
from stages.lm.tokenizers.statistics import statistics
from stages.lm.tokenizers.training import train


def main() -> None:
    args = script.arguments("bpe", __doc__, inputs=("corpus",))
    settings = parse(TokenizerSettings, args.settings, args.config)
    corpus = artifacts.read(args.inputs["corpus"], "corpus")
    with artifacts.writing(args.out, "bpe", settings.resolved(), {"corpus": corpus}) as draft:
        columns = store.text_columns(corpus.path)
        batches = (Documents.of_column(text) for batch in store.batches(corpus.path, "train", columns) for text in batch.columns)
        trained = train(settings, batches)
        size = trained.tokenizer.vocab_size
        if isinstance(settings, BpeSettings) and size < settings.vocab_size:
            script.log.info("no pair is left to merge, so the vocabulary ends at %s tokens", f"{size:,}")
        write_tokenizer(draft.path, trained.tokenizer)
        held_out = chain.from_iterable(store.documents(corpus.path, "valid", column) for column in columns)
        stats = {"kind": settings.kind, **statistics(trained, held_out)}
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(corpus.id, settings, trained.tokenizer, stats))
    script.log.info("%s, %s tokens", settings.kind, f"{size:,}")


if __name__ == "__main__":
    script.run(main)
