"""The course's answers as tables: what a terminal, an artifact's README and the report show."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

PARTS = {
    "attention_projections": "projections",
    "attention_scores": "scores",
    "feed_forward": "feed-forward",
    "head": "output layer",
}
Cells = dict[str, str]


class Table(NamedTuple):
    """Rows of the same columns, the first of which names them."""

    key: str
    title: str
    rows: list[Cells]


def tables(answers: Mapping[str, Any]) -> list[Table]:
    """One for each question, of what `course.answers` gives."""
    long = [
        {name: text for name, text in row.items() if name not in ("model", "network")} for row in _models(answers["long_context"])
    ]
    found = answers["intensity"]
    return [
        Table("family", "The GPT-2 family with today's modules, its forward pass of one sequence", _models(answers["family"])),
        Table("long_context", "GPT-2 XL with longer sequences", long),
        Table("budget", "Training GPT-2 XL with AdamW in float32", [_budget(row) for row in answers["budget"]]),
        Table("opt", "OPT: shares of the operations of an update, as published and as counted right", _opt(answers["opt"])),
        Table("six_nd", "Operations of training for each token, and what 6 N makes of them", [*map(_six_nd, answers["six_nd"])]),
        Table("training", "Training: operations for each byte moved, one sequence", _training(found)),
        Table("decoding", "Decoding: operations for each byte moved, by the number of texts at a time", _decoding(found)),
    ]


def as_text(found: Iterable[Table]) -> str:
    """For a terminal."""
    return "\n\n".join(f"{table.title}\n\n{_aligned(table.rows)}" for table in found)


def _models(rows: Iterable[Mapping[str, Any]]) -> list[Cells]:
    return [
        {
            "model": row["model"],
            "network": row["feed_forward"],
            "tokens": f"{row['context_length']:,}",
            "parameters": f"{row['parameters']:,}",
            "float32": f"{row['bytes'] / 1e9:.2f} GB",
            "forward FLOPs": f"{row['forward_flops']:.4g}",
            **{name: f"{row['shares'][part]:.1f} %" for part, name in PARTS.items()},
        }
        for row in rows
    ]


def _budget(row: Mapping[str, Any]) -> Cells:
    return {
        "network": row["feed_forward"],
        "memory, batch of B": f"{row['bytes_per_sequence'] / 1e9:.2f} B + {row['bytes_fixed'] / 1e9:.2f} GB",
        "largest B": f"{row['largest_batch']}",
        "FLOPs of AdamW": f"{row['update_flops']:.3g}",
        "FLOPs of training": f"{row['training_flops']:.3g}",
        "days": f"{row['days']:,.0f}",
    }


def _opt(rows: Iterable[Mapping[str, Any]]) -> list[Cells]:
    names = ("projections", "feed-forward", "scores", "logits")
    lines = []
    for row in rows:
        shares = zip(names, row["published"]["shares"], row["right"]["shares"], strict=True)
        cells = {
            f"{name}{which}": text for name, old, new in shares for which, text in ((", published", old), ("", f"{new:.1f} %"))
        }
        flops = {"FLOPs, published": row["published"]["flops"], "FLOPs": f"{row['right']['flops']:.2g}"}
        lines.append({"model": row["model"], **flops, **cells})
    return lines


def _six_nd(row: Mapping[str, Any]) -> Cells:
    return {
        "model": row["model"],
        "tokens": f"{row['context_length']:,}",
        "FLOPs a token": f"{row['exact']:.4g}",
        "6 N, all parameters": f"{row['all_error']:+.1f} %",
        "6 N, those in products": f"{row['products_error']:+.1f} %",
    }


def _training(found: Mapping[str, Any]) -> list[Cells]:
    names = PARTS | {"attention_scores, in one kernel": "scores, in one kernel", "total": "all products"}
    works = {names[part]: value for part, value in found["training"].items()} | {"AdamW's update": found["update"]}
    return [{"work": name, "FLOPs a byte": f"{value:.1f}"} | _bound(value, found["devices"]) for name, value in works.items()]


def _decoding(found: Mapping[str, Any]) -> list[Cells]:
    return [
        {"texts": f"{row['batch']}"}
        | {name: f"{row[name]:.1f}" for name in ("weights", "cache", "total")}
        | _bound(row["total"], found["devices"])
        for row in found["decoding"]
    ]


def _bound(intensity: float, devices: Mapping[str, float]) -> Cells:
    """What a device waits for."""
    return {f"{name} ({ridge:.0f})": "arithmetic" if intensity > ridge else "memory" for name, ridge in devices.items()}


def _aligned(rows: Sequence[Cells]) -> str:
    lines = [list(rows[0]), *([*row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
