"""What a training run will cost, before it starts: parameters, FLOPs, memory by component, and time.

python -m stages.estimate --config FILE --tokens DIR --out DIR

The settings are those of the train stage, and `machine`, which may name another device than this machine.
"""

from stages.lm import artifacts, script
from stages.lm.accounting.estimate import estimate
from stages.lm.accounting.settings import EstimateSettings
from stages.lm.accounting.table import table
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.tokens import open_split
from stages.lm.training.data import check_kind


def main() -> None:
    args = script.arguments("estimate", __doc__, inputs=("tokens",))
    settings = parse(EstimateSettings, args.settings, args.config)
    tokens = artifacts.read(args.inputs["tokens"], "tokenize")
    train = open_split(tokens.path, "train")
    check_kind(settings.model.family, settings.model.task, train)

    modules = {registry.module_of(settings.model.family)}
    with artifacts.writing(args.out, "estimate", settings.resolved(), {"tokens": tokens}, modules) as draft:
        draft.volatile = {"stats.json", "README.md"}
        stats = estimate(settings, tokens.json("stats.json")["vocab_size"], train)
        shown = table(stats)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", f"# What training will cost\n\n```\n{shown}\n```\n")
    script.log.info("%s", shown)


if __name__ == "__main__":
    script.run(main)
