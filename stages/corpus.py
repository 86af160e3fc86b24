"""Corpus: read documents from a source, clean them, remove duplicates, split them, and store them as Parquet.

Files from the web are kept in --downloads and used again; other sources need nothing beside the output.
"""

import argparse
from pathlib import Path

from stages.lm import artifacts, script
from stages.lm.corpus.build import build
from stages.lm.corpus.readme import readme
from stages.lm.corpus.settings import CorpusSettings, GrammarCorpus
from stages.lm.settings import parse


def main() -> None:
    args = script.arguments("corpus", __doc__, extend=add_options)
    settings = parse(CorpusSettings, args.settings, args.config)
    with artifacts.writing(args.out, "corpus", settings.resolved(), {}) as draft:
        draft.seed = settings.seed if isinstance(settings, GrammarCorpus) else None
        stats = build(settings, draft.path, args.options.downloads)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(settings, stats, draft.path))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--downloads", type=Path, default=Path("state/downloads"), metavar="DIR", help="where downloads are kept")


if __name__ == "__main__":
    script.run(main)
