"""Made-up artifacts that look like those of the stages, to report on."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.lm import artifacts
from stages.lm.artifacts import Artifact
from stages.lm.bpe.files import save_tokenizer
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.corpus.store import SPLITS, SplitWriter, schema
from stages.lm.evaluation.calibration import Guesses, calibration
from stages.lm.evaluation.losses import PositionLosses
from stages.lm.evaluation.overlap import overlap
from stages.lm.evaluation.positions import by_position
from stages.lm.evaluation.quality import quality
from stages.lm.evaluation.scores import Documents, scores
from stages.lm.evaluation.settings import EvaluationSettings
from stages.lm.evaluation.tasks.examples import Example
from stages.lm.evaluation.tasks.scoring import task_lines, task_statistics

STORY = "Once upon a time there was a fox & a <hen>. They shared a pie.\n\n"
END = "<|endoftext|>"
DOCUMENTS = 40
TESTED = EvaluationSettings(bootstrap_samples=200)


@dataclass
class Workshop:
    """Makes artifacts below `folder` and remembers them by id."""

    folder: Path
    made: dict[str, Artifact] = field(default_factory=dict)
    latest: Path = Path()
    task_file: str = "a" * 64
    """The hash of the file with the task."""

    def corpus(self, name: str = "toy", entropy: float | None = 0.8, seed: int = 0) -> str:
        """Random documents; with an `entropy`, their surprisal is about so many bits per byte."""
        generator = np.random.default_rng(seed)
        stats: dict[str, Any] = {"splits": {}, "steps": [], "entropy": None, "files": []}
        if entropy is not None:
            stats["entropy"] = {"bits_per_document": 100.0, "bytes_per_document": 100 / entropy, "bits_per_byte": entropy}
        with self._writing("corpus", name, {"source": "grammar", "seed": seed}) as draft:
            for split in SPLITS:
                texts = [STORY * int(times) for times in generator.integers(1, 9, size=DOCUMENTS)]
                bits = [entropy and entropy * len(text) * generator.normal(1, 0.02) for text in texts]
                rows = [
                    {"id": str(i), "text": text, "source": "test", "bits": bit}
                    for i, (text, bit) in enumerate(zip(texts, bits, strict=True))
                ]
                columns = schema(with_bits=entropy is not None)
                with SplitWriter(draft.path, split, columns) as writer:
                    writer.write(pa.RecordBatch.from_pylist(rows, columns))
                size = sum(map(len, texts))
                stats["splits"][split] = {"documents": DOCUMENTS, "bytes": size, "characters": size}
            stats["steps"] = [
                {"step": "read", "documents": 130, "bytes": 50_000, "removed": 0},
                {"step": "drop duplicates", "documents": 120, "bytes": 47_000, "removed": 10},
            ]
            draft.write_json("stats.json", stats)
        return self._keep("corpus")

    def sweep(self) -> str:
        """The last round of a sweep of three trials."""
        parameters = {
            "training.learning_rate": {"distribution": "categorical", "values": [1e-3, 1e4, 1e-2]},
            "training.schedule": {"distribution": "categorical", "values": ["cosine", "<b>"]},
            "training.steps": {"distribution": "constant", "value": 20},
        }
        shared = {"unit": {}, "tokens": 640, "flops": 1e6, "message": None}
        chosen = (
            (0, 1e-3, "cosine", "finished", 2.0),
            (None, 1e4, "<b>", "diverged", None),
            (1, 1e-2, "cosine", "stopped", 1.9),
        )
        trials = [
            shared | {"trial": number, "rank": rank, "state": state, "metric": metric, "steps": 20, "parameters": {
                "training.learning_rate": rate, "training.schedule": schedule, "training.steps": 20}}
            for number, (rank, rate, schedule, state, metric) in enumerate(chosen)
        ]  # fmt: skip
        settings = {"experiment": "gpt", "search": {"method": "grid", "parameters": parameters}}
        with self._writing("sweep", "lr", settings) as draft:
            importance = {
                "training.learning_rate": {"share": 0.7, "correlation": 0.5},
                "training.schedule": {"share": 0.3, "correlation": None},
            }
            metric = {"name": "validation_loss", "goal": "minimize"}
            draft.write_json("stats.json", {"metric": metric, "best": 0, "trials": trials, "importance": importance})
            draft.write_json("curves.json", [{"validation_loss": [[10, 3.0], [20, 2.0]]}, {}, {"validation_loss": [[10, 3.0]]}])
            draft.write_json("timing.json", {"seconds": [1.0, 2.0, 3.0]})
            draft.write_text("best.yaml", "experiments:\n  gpt-best: {extends: gpt}\n")
        return self._keep("sweep")

    def tokenizer(self, corpus: str, name: str = "bpe", merges: int = 3) -> str:
        """A tokenizer with the first of a few merges."""
        learned = [(b" ", b"t"), (b"h", b"e"), (b" t", b"he"), (b" ", b"a")][:merges]
        vocab = [END.encode(), *(bytes([byte]) for byte in range(256)), *(first + second for first, second in learned)]
        with self._writing("bpe", name, {"kind": "bpe", "vocab_size": len(vocab)}, corpus=corpus) as draft:
            save_tokenizer(draft.path, Tokenizer(dict(enumerate(vocab)), learned, [END]))
            draft.write_json(
                "stats.json", {"kind": "bpe", "vocab_size": len(vocab), "special_tokens": {END: 0}, "end_of_text": 0}
            )
        return self._keep("bpe")

    def tokens(self, corpus: str, tokenizer: str, name: str = "toy-bpe", spelled: int | None = None) -> str:
        """Token arrays with half as many tokens as bytes, and in each split so many letters that spell unknown tokens."""
        splits = {}
        with self._writing("tokenize", name, {}, corpus=corpus, tokenizer=tokenizer) as draft:
            for split in SPLITS:
                lengths = np.random.default_rng(1).integers(60, 600, size=DOCUMENTS)
                offsets = np.cumsum([0, *(lengths // 2)])
                np.save(draft.path / f"{split}.npy", np.zeros(offsets[-1], dtype=np.uint16))
                np.save(draft.path / f"{split}.offsets.npy", offsets)
                np.save(draft.path / f"{split}.bytes.npy", lengths)
                splits[split] = {
                    "tokens": int(offsets[-1]), "documents": DOCUMENTS, "bytes": int(lengths.sum()), "bytes_per_token": 2.0,
                    "spelled": spelled,
                }  # fmt: skip
            draft.write_json("stats.json", {"vocab_size": 260, "end_of_text": 0, "tokenizer": "0", "splits": splits})
        return self._keep("tokenize")

    def train(self, tokens: str, name: str, family: str = "transformer", final: float = 1.2) -> str:
        """A training whose loss falls to `final` nats per token, or none for a model trained by counting."""
        counted = family == "ngram"
        steps = range(0) if counted else range(10, 210, 10)
        model: dict[str, Any] = {"family": family, "order": 3} if counted else {"family": family, "layers": 2, "d_model": 64}
        settings = {"model": model, "training": {} if counted else {"steps": 200, "learning_rate": 0.001}}
        losses = {step: final + 4.0 * math.exp(-step / 40) for step in steps}
        metrics = [{"step": step, "tokens": step * 512, "loss": loss + 0.02 * math.sin(step)} for step, loss in losses.items()]
        metrics += [{"step": step, "tokens": step * 512, "validation_loss": losses[step]} for step in steps if step % 50 == 0]
        timing = [{"step": step, "seconds": 0.3 * step} for step in steps]
        with self._writing("train", name, settings, tokens=tokens) as draft:
            draft.seed = 0
            draft.volatile = {"timing.json", "timing.jsonl"}
            draft.write_json("model.json", {"family": family, "settings": model})
            draft.write_text("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in metrics))
            draft.write_text("timing.jsonl", "".join(json.dumps(line) + "\n" for line in timing))
            draft.write_json("stats.json", {"family": family, "parameters": 912_384, "tokens": 102_400})
            draft.write_json(
                "timing.json",
                {"seconds": 60.0, "tokens_per_second": 1706.7, "peak_memory_bytes": 1 << 30, "training_memory_bytes": 3 << 28},
            )
        return self._keep("train")

    def estimate(self, tokens: str, name: str) -> str:
        """An estimate of that training, a little off."""
        with self._writing("estimate", name, {"model": {}, "training": {}}, tokens=tokens) as draft:
            draft.write_json(
                "stats.json",
                {
                    "family": "transformer",
                    "parameters": {"embedding": 12_384, "blocks": 900_000, "total": 912_384},
                    "flops": {"forward_per_token": {"attention": 6e5, "feed_forward": 9e5}, "training_total": 4.6e11},
                    "memory_bytes": {"weights": 1 << 28, "optimizer": 1 << 29, "total": 3 << 28},
                    "time": {"tokens_per_second": 2048.0, "seconds": 50.0},
                },
            )
        return self._keep("estimate")

    def evaluate(self, train: str, tokens: str, corpus: str, name: str, bits: float = 0.9, split: str = "test") -> str:
        """An evaluation that found about so many bits per byte."""
        asked = {"order": {"source": "file", "path": "order.jsonl"}}
        settings = EvaluationSettings.model_validate({"split": split, "bootstrap_samples": 200, "tasks": asked})
        known = self.made[corpus].json("stats.json")["entropy"]
        generator = np.random.default_rng(2)
        lengths = generator.integers(60, 600, size=DOCUMENTS)
        hardness = generator.normal(1.0, 0.05, size=DOCUMENTS)
        documents = Documents(
            nats=lengths * hardness * bits * math.log(2),
            tokens=lengths // 2,
            bytes=lengths,
            source_bits=lengths * hardness * known["bits_per_byte"] if known else None,
        )
        with self._writing("evaluate", name, settings.resolved(), model=train, tokens=tokens, corpus=corpus) as draft:
            np.save(draft.path / "losses.npy", documents.nats)
            np.save(draft.path / "bytes.npy", documents.bytes)
            stats = scores(documents, known and known["bits_per_byte"], settings) | self._closer(documents, bits)
            stats["tasks"], lines = self._answers(bits)
            stats["task_files"] = {"order": self.task_file}
            draft.write_json("stats.json", stats)
            draft.write_text("tasks.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        return self._keep("evaluate")

    def _closer(self, documents: Documents, bits: float) -> dict[str, Any]:
        """Losses that fall with the position, guesses that are a little too sure, and some text that was seen before."""
        read = np.array([[3.0 * bits, 2.0 * bits, 1.0 * bits]] * DOCUMENTS)
        sure = np.array([[2.0, 0.0, 8.0]] * DOCUMENTS)
        return {
            "positions": by_position(PositionLosses(read, np.ones(read.shape, np.int64)), TESTED),
            "calibration": calibration(Guesses(sure, sure * [[0.2, 0.5, 0.9]], sure * [[0.2, 0.5, 0.8]]), TESTED),
            "overlap": overlap(documents, (documents.tokens - 1) // 10 * (np.arange(DOCUMENTS) % 2), 13, TESTED),
        }

    def _answers(self, bits: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A task of two levels, of which the fewer bits a model needs the more it answers."""
        examples = [Example("c", ("a", "b"), place % 2, "near" if place < 20 else "far") for place in range(DOCUMENTS)]
        rightly = [place % 10 < 10 / bits**2 for place in range(DOCUMENTS)]
        preferred = [one.answer if right else 1 - one.answer for one, right in zip(examples, rightly, strict=True)]
        nats = [np.array([1.0 + place, 2.0 - place]) for place in preferred]
        return {"order": task_statistics(examples, nats, TESTED)}, task_lines("order", examples, nats)

    def decode(self, train: str, tokenizer: str, name: str) -> str:
        """A few texts, one of them with characters that HTML and JSON treat specially."""
        texts = [("", STORY * 3), ("The fox", ' said: "1 < 2 & 3 > 2"\u2028and left.')]
        lines = [
            {"prompt": prompt, "sample": 0, "completion": text, "tokens": 30, "stop_reason": reason}
            for (prompt, text), reason in zip(texts, ("max tokens", "end of text"), strict=True)
        ]
        with self._writing("decode", name, {"prompts": ["", "The fox"]}, model=train, tokenizer=tokenizer) as draft:
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            (draft.path / "samples.jsonl").write_text(text, encoding="utf-8")
            draft.write_json("stats.json", {"samples": 2, "quality": quality([text for _, text in texts])})
        return self._keep("decode")

    def experiment(
        self, name: str, corpus: str, tokenizer: str, tokens: str, bits: float, family: str = "transformer"
    ) -> dict[str, str]:
        """All artifacts of one experiment, by stage."""
        train = self.train(tokens, name, family, final=bits * math.log(2) * 2)
        parts = {
            "corpus": corpus,
            "bpe": tokenizer,
            "tokenize": tokens,
            "train": train,
            "evaluate": self.evaluate(train, tokens, corpus, name, bits),
            "decode": self.decode(train, tokenizer, name),
        }
        return parts | ({"estimate": self.estimate(tokens, name)} if family == "transformer" else {})

    def standard(self) -> dict[str, dict[str, str]]:
        """A trigram and two transformers on a corpus of known entropy."""
        corpus = self.corpus()
        tokenizer = self.tokenizer(corpus)
        tokens = self.tokens(corpus, tokenizer)
        return {
            "trigram": self.experiment("trigram", corpus, tokenizer, tokens, 1.4, family="ngram"),
            "gpt": self.experiment("gpt", corpus, tokenizer, tokens, 0.84),
            "gpt-nope": self.experiment("gpt-nope", corpus, tokenizer, tokens, 0.91),
        }

    def _writing(self, stage: str, name: str, settings: dict[str, Any], **inputs: str) -> Any:
        made = {role: self.made[identity] for role, identity in inputs.items()}
        digest = artifacts.digest(stage, settings, {role: artifact.digest for role, artifact in made.items()})
        self.latest = self.folder / stage / f"{name}-{digest}"
        return artifacts.writing(self.latest, stage, settings, made)

    def _keep(self, stage: str) -> str:
        artifact = artifacts.read(self.latest, stage)
        self.made[artifact.id] = artifact
        return artifact.id
