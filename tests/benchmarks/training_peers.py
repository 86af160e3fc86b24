"""The trainers that people would take instead, each in a process of its own: see training.py, which calls this file.

It imports nothing of the project, so that it runs in an environment that holds the peers and not us. Both peers train the same
Llama: pre-norm RMSNorm, rotary positions, SwiGLU, untied, on windows of the same array, by AdamW with the same settings.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Job = dict[str, Any]
Clock = list[float]


class PlainBlock(nn.Module):
    """A block as one writes it in an afternoon, from torch.nn's parts."""

    def __init__(self, shape: Job) -> None:
        super().__init__()
        d, self.heads = shape["d_model"], shape["heads"]
        self.norm1, self.norm2 = nn.RMSNorm(d, eps=1e-5), nn.RMSNorm(d, eps=1e-5)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.gate, self.up = nn.Linear(d, shape["d_ff"], bias=False), nn.Linear(d, shape["d_ff"], bias=False)
        self.down = nn.Linear(shape["d_ff"], d, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, d = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(d, dim=2))
        attended = F.scaled_dot_product_attention(rotated(q, cos, sin), rotated(k, cos, sin), v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, d))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))  # type: ignore[no-any-return]


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in halves: x (batch, heads, length, d), cos and sin (length, d / 2)."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


class Plain(nn.Module):
    """The whole model."""

    def __init__(self, shape: Job) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape["vocab_size"], shape["d_model"])
        self.blocks = nn.ModuleList(PlainBlock(shape) for _ in range(shape["layers"]))
        self.norm = nn.RMSNorm(shape["d_model"], eps=1e-5)
        self.head = nn.Linear(shape["d_model"], shape["vocab_size"], bias=False)
        half = shape["d_model"] // shape["heads"] // 2
        angles = torch.outer(torch.arange(shape["context_length"]), 1e4 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        self.apply(self._draw)

    @staticmethod
    def _draw(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.head(self.norm(x))  # type: ignore[no-any-return]


def rate_at(step: int, job: Job) -> float:
    """Cosine to a tenth after a linear warm-up of 5 %; step 1, 2, ..."""
    warmup = job["steps"] // 20
    if step < warmup:
        return float(job["learning_rate"]) * step / warmup
    share = (step - warmup) / max(1, job["steps"] - warmup)
    return float(job["learning_rate"]) * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))


def windows(job: Job, ids: Any, step: int) -> Tensor:
    """The batch of step 0, 1, ...: (batch, context_length + 1), from random places."""
    random = np.random.default_rng((job["seed"], step))
    length = job["shape"]["context_length"] + 1
    starts = random.integers(len(ids) - length, size=job["batch_size"])
    return torch.from_numpy(np.stack([ids[start : start + length] for start in starts]).astype(np.int64))


def plain_loop(job: Job, ids: Any) -> tuple[Clock, Callable[[Tensor], Tensor]]:
    """A nanoGPT-style loop: fp32, AdamW as torch makes it by default, clipping, a schedule by hand."""
    torch.manual_seed(job["seed"])
    model = Plain(job["shape"])
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    other = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": other, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=job["learning_rate"], betas=(0.9, 0.95))
    clock = [time.perf_counter()]
    for step in range(job["stop"]):
        batch = windows(job, ids, step)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step + 1, job)
        logits = model(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        clock.append(time.perf_counter())
    return clock, model


def hugging_face(job: Job, ids: Any) -> tuple[Clock, Callable[[Tensor], Tensor]]:
    """transformers' Trainer on a LlamaForCausalLM."""
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    shape = job["shape"]
    config = LlamaConfig(
        vocab_size=shape["vocab_size"],
        hidden_size=shape["d_model"],
        intermediate_size=shape["d_ff"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        max_position_embeddings=shape["context_length"],
        tie_word_embeddings=False,
        rms_norm_eps=1e-5,
    )
    torch.manual_seed(job["seed"])
    model = LlamaForCausalLM(config)
    clock: Clock = []

    class Windows(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return job["batch_size"] * job["stop"]  # type: ignore[no-any-return]

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            step, row = divmod(index, job["batch_size"])
            if row == 0:
                self.batch = windows(job, ids, step)[:, :-1]
            return {"input_ids": self.batch[row], "labels": self.batch[row]}

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:  # noqa: ARG002, named by Trainer
            found = optimizer or self.optimizer
            share = lambda step: rate_at(step + 1, job) / job["learning_rate"]  # noqa: E731
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(found, share)
            return self.lr_scheduler

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=job["batch_size"],
            max_steps=job["stop"],
            learning_rate=job["learning_rate"],
            weight_decay=0.1,
            adam_beta2=0.95,
            max_grad_norm=1.0,
            bf16=job["precision"] == "bf16",
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        InOrder(model=model, args=arguments, train_dataset=Windows(), callbacks=[Watch()]).train()
    return clock, lambda batch: model(batch).logits


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", required=True)
    job = json.loads(parser.parse_args().job)
    torch.set_num_threads(job["threads"])
    ids = np.load(job["tokens"], mmap_mode="r")
    clock, logits = {"plain loop": plain_loop, "Hugging Face Trainer": hugging_face}[job["peer"]](job, ids[: -job["held_out"]])
    held_out = torch.from_numpy(ids[-job["held_out"] :].astype(np.int64))
    batches = held_out.view(-1, job["shape"]["context_length"] + 1).split(16)
    with torch.no_grad():
        losses = [F.cross_entropy(logits(part[:, :-1]).float().flatten(0, 1), part[:, 1:].flatten()).item() for part in batches]
    print(json.dumps({"clock": clock, "held_out_loss": sum(losses) / len(losses)}))


if __name__ == "__main__":
    main()
