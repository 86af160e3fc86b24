"""Find out something that one training does not show: how gradients fade, what lengths cost, what tokenizers make of texts, where
the operations of known models go.

python -m stages.study --config FILE --artifact DIR [--artifact DIR ...] --out DIR
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from stages.lm import artifacts, script
from stages.lm.accounting import course
from stages.lm.accounting.course_tables import as_text
from stages.lm.accounting.course_tables import tables as course_tables
from stages.lm.artifacts import Artifact, Draft
from stages.lm.corpus import store
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.studies import complexity, gradients, tables, tokenizers
from stages.lm.studies.settings import AccountingStudy, ComplexityStudy, GradientStudy, StudySettings, TokenizerStudy
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.tokens import TokenArray


def main() -> None:
    args = script.arguments("study", __doc__, extend=script.any_artifacts)
    settings = parse(StudySettings, args.settings, args.config)
    given = artifacts.read_all(args.options.artifact)
    modules = {registry.module_of(model.family) for model in settings.models.values()}

    with artifacts.writing(args.out, "study", settings.resolved(), given, modules) as draft:
        match settings.study:
            case GradientStudy():
                shown = of_gradients(settings.study, settings, given, draft)
            case ComplexityStudy():
                shown = of_complexity(settings.study, settings, given, draft)
            case TokenizerStudy():
                shown = of_tokenizers(settings.study, settings, given, draft)
            case AccountingStudy():
                shown = of_accounting(settings.study, draft)
        draft.write_text("README.md", f"# A study: {settings.study.kind}\n\n{shown}\n")
    script.log.info("%s", shown.removeprefix("```\n").removesuffix("\n```"))


def of_gradients(study: GradientStudy, settings: StudySettings, given: Mapping[str, Artifact], draft: Draft) -> str:
    tokens = artifacts.named(given, settings.tokens or "", "tokenize", "tokens")
    draft.seed = study.seed
    stats = gradients.measure(study, settings.models, TokenArray.open(tokens.path, "train"), vocab_size(tokens))
    draft.write_json("stats.json", stats)
    return f"```\n{tables.gradient_table(stats)}\n```"


def of_complexity(study: ComplexityStudy, settings: StudySettings, given: Mapping[str, Artifact], draft: Draft) -> str:
    tokens = artifacts.named(given, settings.tokens or "", "tokenize", "tokens")
    draft.seed = study.seed
    draft.volatile = {"stats.json", "README.md"}  # they hold measured times
    stats = complexity.measure(study, settings.models, vocab_size(tokens))
    draft.write_json("stats.json", stats)
    return f"```\n{tables.complexity_table(stats)}\n```"


def of_tokenizers(study: TokenizerStudy, settings: StudySettings, given: Mapping[str, Artifact], draft: Draft) -> str:
    read = {
        name: read_tokenizer(artifacts.named(given, identity, "bpe", f"tokenizers.{name}").path)
        for name, identity in settings.tokenizers.items()
    }
    samples = {
        name: sample(artifacts.named(given, identity, "corpus", f"corpora.{name}"), study)
        for name, identity in settings.corpora.items()
    }
    draft.volatile = {"timing.json", "README.md"}
    stats, timing = tokenizers.measure(study, read, samples)
    draft.write_json("stats.json", stats)
    draft.write_json("timing.json", timing)
    return tables.tokenizer_tables(stats | timing)


def of_accounting(study: AccountingStudy, draft: Draft) -> str:
    answers = course.answers(1e9 * study.memory_gb, 1e12 * study.peak_tflops, study.utilisation, study.steps, study.batch_size)
    draft.write_json("stats.json", {"kind": study.kind, "study": study.resolved(), "answers": answers})
    return f"```\n{as_text(course_tables(answers))}\n```"


def sample(corpus: Artifact, study: TokenizerStudy) -> tokenizers.Sample:
    train = tokenizers.read_prefix(store.documents(corpus.path, "train"), study.sizes[-1])
    return tokenizers.Sample(train, list(islice(store.documents(corpus.path, "valid"), study.documents)))


def vocab_size(tokens: Artifact) -> int:
    size: Any = tokens.json("stats.json")["vocab_size"]
    return int(size)


if __name__ == "__main__":
    script.run(main)
