"""A few steps of one of several processes, for `torchrun`: writes what its allocator recorded as the peak.

torchrun --nproc-per-node 2 tests/lm/accounting/ranks.py ENGINE SETTINGS OUT
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from stages.lm.accounting.batches import random_batch
from stages.lm.accounting.measured import recorded_peak
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.training import distributed, machine
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainSettings

engine, settings, out = sys.argv[1:]
train = parse(TrainSettings, json.loads(settings), "settings")
with distributed.joined() as ranks:
    device = machine.prepare(train.training)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        model: Any = registry.build(train.model, 2000, 0)
        learner = Learner(model, train.training, device, ranks, engine)  # type: ignore[arg-type]
        batch = random_batch(train.model, train.training, 2000)
        rows = ranks.rows(train.training.batch_size)
        for _ in range(2):
            learner.step(batch._replace(tensors=tuple(tensor[rows] for tensor in batch.tensors)), 1e-3)
    if not ranks.is_first:  # which with fsdp holds a copy of the whole model
        Path(out).write_text(str(recorded_peak(profiler)), encoding="utf-8")
