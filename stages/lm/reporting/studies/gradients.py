"""The study of gradients: factors by model and start, gradients by distance, training with and without clipping."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.lm.reporting.cells import Cell
from stages.lm.reporting.figures import NARROW, WIDE
from stages.lm.reporting.studies.view import Source, StudyView
from stages.lm.reporting.svg import FLOOR, INK, SERIES, colour, inline
from stages.lm.studies.tables import decay

SMALLEST = 1e-12
"""Gradients below this share of their start are not drawn: to single precision they are nothing beside it."""


def view(source: Source) -> StudyView:
    stats = source.stats()
    runs = [{**run, "start": f"{run['recurrent_init']} × {run['recurrent_gain']:g}"} for run in stats["runs"]]
    stats = {**stats, "runs": runs}
    starts = list(dict.fromkeys(run["start"] for run in runs))
    rows = [
        {"model": Cell(run["model"]), "W_h at the start": Cell(run["start"])}
        | {
            f"{label}, {what}": source.cell(text)
            for moment, label in (("at_start", "untrained"), ("trained", "trained"))
            for what, text in _factors(run[moment]).items()
        }
        for run in runs
    ]
    steepest = max(runs, key=lambda run: max(math.inf if norm is None else norm for norm in run["unclipped"]["norm"]))
    figures = {
        "distance": _distance_plot(stats, starts, f"{source.figure}-distance"),
        "clipping": _clipping_plot(steepest, stats["clip_norm"], f"{source.figure}-clipping"),
    }
    facts = {
        "distance": stats["distance"],
        "learning_rate": f"{stats['learning_rate']:g}",
        "clip_norm": f"{stats['clip_norm']:g}",
        "steepest": f"{steepest['model']}, {steepest['start']}",
        "diverged": len(steepest["unclipped"]["norm"]) if steepest["unclipped"]["norm"][-1] is None else None,
    }
    keys = {start: number % 8 + 1 for number, start in enumerate(starts)}
    return StudyView(source.name, "gradients", {"factors": rows}, figures, keys, facts)


def _factors(moment: Mapping[str, Any]) -> dict[str, str]:
    bound = f"{moment['sigma_max'] * moment['slope_max']:.3f}" if "bound" in moment else "none"
    return {"factor per step": f"{decay(moment['norms']):.3f}", "bound": bound}


def _distance_plot(stats: Mapping[str, Any], starts: Sequence[str], name: str) -> str:
    """The gradient's norm by distance, a column for every model, at the start above and trained below; bounds are dashed."""
    models = list(dict.fromkeys(run["model"] for run in stats["runs"]))
    moments = {"at_start": "before training", "trained": "after training"}

    def draw(figure: Any, is_wide: bool) -> None:
        grid = (len(moments), len(models)) if is_wide else (len(models), len(moments))
        panels = figure.subplots(*grid, sharex=True, sharey=True, squeeze=False)
        for column, model in enumerate(models):
            for row, (moment, label) in enumerate(moments.items()):
                axes = panels[row][column] if is_wide else panels[column][row]
                axes.set_title(f"{model}, {label}", fontsize=12, color=INK, loc="left")
                for run in (run for run in stats["runs"] if run["model"] == model):
                    _distances(axes, run[moment], colour(starts.index(run["start"])))
                axes.set_yscale("log")
                axes.grid(axis="y")
        panels[0][0].set_ylim(SMALLEST, _top(stats))
        for axes in panels[-1]:
            axes.set_xlabel("steps back")

    alt = f"Norm of the gradient by the number of steps back, for {', '.join(models)}, relative to that at the last state"
    return inline(draw, name, alt, wide=(WIDE, 520), narrow=(NARROW, 220 * len(models)))


def _distances(axes: Any, moment: Mapping[str, Any], tint: str) -> None:
    """One line: relative norms, and the bound where there is one."""
    distance = np.arange(len(moment["norms"]))
    axes.plot(distance, np.asarray(moment["norms"]) / moment["norms"][0], color=tint, linewidth=1.8)
    if "bound" in moment:
        axes.plot(distance, np.asarray(moment["bound"]) / moment["bound"][0], color=tint, linewidth=1.0, dashes=(4, 3))


def _top(stats: Mapping[str, Any]) -> float:
    """A decade above the largest measured norm; bounds may leave the plot."""
    moments = [run[moment] for run in stats["runs"] for moment in ("at_start", "trained")]
    return 10 * max(float(max(moment["norms"]) / moment["norms"][0]) for moment in moments)


def _clipping_plot(run: Mapping[str, Any], clip_norm: float, name: str) -> str:
    """One run trained with and without clipping: the gradient's norm before clipping, and the loss, by step."""
    kinds = {"unclipped": FLOOR, "clipped": SERIES[0]}

    def draw(figure: Any, is_wide: bool) -> None:
        panels = np.atleast_1d(figure.subplots(*((1, 2) if is_wide else (2, 1)), sharex=True))
        for axes, quantity, label in zip(panels, ("norm", "loss"), ("gradient norm", "nats per token"), strict=True):
            for kind, tint in kinds.items():
                values = [math.nan if value is None else value for value in run[kind][quantity]]
                axes.plot(range(1, len(values) + 1), values, color=tint, linewidth=1.6)
            axes.set_ylabel(label)
            axes.set_xlabel("step")
            axes.grid(axis="y")
        panels[0].axhline(clip_norm, color=INK, linewidth=0.8, dashes=(2, 2))
        panels[0].set_yscale("log")
        largest = max(value for value in run["clipped"]["loss"] if value is not None)
        panels[1].set_ylim(0, 1.5 * largest)

    alt = f"Gradient norm and loss by step for {run['model']}, {run['start']}, with gradients clipped to {clip_norm:g} or not"
    return inline(draw, name, alt, wide=(WIDE, 300), narrow=(NARROW, 480))
