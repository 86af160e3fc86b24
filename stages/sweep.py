"""Gather the trials of a sweep so far in a table, and say which ones come next.

python -m stages.sweep --config FILE --artifact DIR [--artifact DIR ...] --out DIR

A sweep is a chain of such artifacts, one for each round; in that of the last round nothing comes next.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from stages.lm import artifacts, script
from stages.lm.artifacts import Artifact
from stages.lm.settings import Settings, parse
from stages.lm.sweeps import table
from stages.lm.sweeps.draws import Point
from stages.lm.sweeps.importance import importance
from stages.lm.sweeps.outcomes import MEASURED, Outcome
from stages.lm.sweeps.search import SearchSettings, Trial, following
from stages.lm.sweeps.trials import Tried


class SweepSettings(Settings):
    """Settings of the sweep stage."""

    experiment: str
    """The experiment that is varied."""
    search: SearchSettings
    trials: list[Tried]

    def resolved(self) -> dict[str, Any]:
        return super().resolved() | {"search": self.search.resolved()}


def main() -> None:
    args = script.arguments("sweep", __doc__, extend=script.any_artifacts)
    settings = parse(SweepSettings, args.settings, args.config)
    given = artifacts.read_all(args.options.artifact)
    search = settings.search
    trials = [trial_of(tried, given, f"trials.{number}") for number, tried in enumerate(settings.trials)]

    with artifacts.writing(args.out, "sweep", settings.resolved(), given) as draft:
        draft.seed, draft.volatile = search.seed, {"timing.json"}
        rows = table.rows(search, trials)
        best = table.best(rows)
        decided = importance(search.parameters, search.metric, trials)
        text = table.as_text(rows, search.metric)
        draft.write_json("stats.json", {"metric": search.metric.resolved(), "best": best, "trials": rows, "importance": decided})
        draft.write_json("next.json", [request.resolved() for request in following(search, trials)])
        draft.write_json("curves.json", [curve(tried, given) for tried in settings.trials])
        draft.write_json("timing.json", {"seconds": [seconds(tried, given) for tried in settings.trials]})
        draft.write_text("trials.csv", table.as_csv(rows))
        snippet = "" if best is None else table.snippet(settings.experiment, trials[best].point.parameters)
        draft.write_text("best.yaml", snippet)
        draft.write_text("README.md", readme(settings, text, snippet))
    script.log.info("%s", text)


def trial_of(tried: Tried, given: Mapping[str, Artifact], where: str) -> Trial:
    """A trial with its outcomes. Raises UserError for an artifact that was not given."""
    found = [artifacts.named(given, identity, "trial", f"{where}.outcomes") for identity in tried.outcomes]
    outcomes = [parse(Outcome, artifact.json("stats.json"), str(artifact.path)) for artifact in found]
    return Trial(Point(tried.parameters, tried.unit), tried.refused, outcomes)


def curve(tried: Tried, given: Mapping[str, Artifact]) -> dict[str, list[list[float]]]:
    """(step, loss) of a trial, by the name of the loss."""
    if not tried.outcomes:
        return {}
    text = given[tried.outcomes[-1]].file("metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return {name: [[line["step"], line[name]] for line in lines if math.isfinite(line.get(name, math.inf))] for name in MEASURED}


def seconds(tried: Tried, given: Mapping[str, Artifact]) -> float:
    """Time in the steps of a trial's training."""
    return float(given[tried.outcomes[-1]].json("timing.json")["seconds"]) if tried.outcomes else 0.0


def readme(settings: SweepSettings, text: str, snippet: str) -> str:
    """The artifact explained to a person."""
    best = f"The best one as an experiment:\n\n```yaml\n{snippet}```\n" if snippet else "None of them has a result.\n"
    return f"""# A sweep over {settings.experiment}

```
{text}
```

{best}
- `stats.json`, `trials.csv`: the table, and how much each parameter decides; `best.yaml`: the best configuration
- `curves.json`: losses by step of every trial
- `next.json`: the trials of the next round; empty where the sweep is over
- `timing.json`: seconds of training by trial
"""


if __name__ == "__main__":
    script.run(main)
