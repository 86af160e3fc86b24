"""The comparison as the page shows it: a headline in words, a table of linked numbers, and a plot."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stages.lm.artifacts import title
from stages.lm.evaluation.bootstrap import Interval
from stages.lm.reporting import figures
from stages.lm.reporting.cells import Cell, count, duration, operations, percent, probability
from stages.lm.reporting.comparison import Group, Row
from stages.lm.reporting.experiments import Experiment
from stages.lm.reporting.ladder import Ladder, ladder


@dataclass(frozen=True)
class RowView:
    """One experiment's numbers, each with its artifact."""

    name: str
    family: Cell
    bits: Cell
    interval: Cell
    excess: Cell
    spelled: Cell | None
    """Of the bits per byte, those that spell what unknown tokens hide."""
    behind: Cell
    p: Cell
    """Of the difference from the best being none."""
    perplexity: Cell
    parameters: Cell
    operations: Cell
    speed: Cell
    seconds: Cell


@dataclass(frozen=True)
class GroupView:
    """Experiments over the same documents."""

    corpus: Cell
    split: str
    documents: Cell
    bytes: Cell
    confidence: str
    floor: Cell | None
    entropy: Cell | None
    rows: list[RowView]
    plot: str
    ladder: Ladder | None


def views(groups: Iterable[Group], colours: dict[str, str]) -> Iterator[GroupView]:
    """The groups, ready to be shown."""
    for number, group in enumerate(groups):
        best = group.rows[0].experiment
        stats = best.parts["evaluate"].json("stats.json")
        yield GroupView(
            corpus=best.cell("corpus", title(group.corpus)) if "corpus" in best.parts else Cell(title(group.corpus)),
            split=group.split,
            documents=best.cell("evaluate", count(stats["documents"])),
            bytes=best.cell("evaluate", count(stats["bytes"])),
            confidence=f"{stats['confidence']:.0%}",
            floor=None if group.floor is None else best.cell("evaluate", f"{group.floor:.4f}"),
            entropy=None if group.entropy is None else best.cell("corpus", f"{group.entropy:.4f}"),
            rows=[_row(row) for row in group.rows],
            plot=figures.comparison(group, colours, f"comparison-{number}"),
            ladder=ladder(group, colours, f"ladder-{number}"),
        )


def _row(row: Row) -> RowView:
    experiment, record = row.experiment, row.record()

    def evaluated(text: str | None) -> Cell:
        return experiment.cell("evaluate", text)

    return RowView(
        name=experiment.name,
        family=experiment.cell("train", experiment.family),
        bits=evaluated(f"{row.bits['value']:.4f}"),
        interval=evaluated(_ends(row.bits, ".4f")),
        excess=evaluated(row.excess and percent(row.excess["value"])),
        spelled=evaluated(f"{record['spelled_bits_per_byte']:.4f}") if record["spelled_bits_per_byte"] else None,
        behind=Cell("best") if row.behind is None else evaluated(f"+{row.behind['value']:.4f}"),
        p=Cell("") if row.behind is None else evaluated(probability(row.behind["p"])),
        perplexity=evaluated(f"{record['perplexity']:.2f}"),
        parameters=_trained(experiment, record["parameters"] and count(record["parameters"])),
        operations=_trained(experiment, record["training_flops"] and operations(record["training_flops"])),
        speed=_trained(experiment, record["tokens_per_second"] and count(record["tokens_per_second"])),
        seconds=_trained(experiment, record["training_seconds"] and duration(record["training_seconds"])),
    )


def _trained(experiment: Experiment, text: str | None) -> Cell:
    return experiment.cell("train", text)


def _ends(interval: Interval, form: str) -> str:
    return f"[{interval['low']:{form}}, {interval['high']:{form}}]"
