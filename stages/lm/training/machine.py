"""What a run fixes about the machine, so that the same settings give the same bytes."""

import ctypes
import logging
import os
import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from stages.lm.errors import UserError
from stages.lm.training.settings import TrainingSettings

log = logging.getLogger("stagecraft")


def prepare(settings: TrainingSettings) -> torch.device:
    """Set threads and arithmetic for the whole process; returns the device. Raises UserError if there is no such device."""
    keep_memory()
    torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision(settings.matmul_precision)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError("training.device: is cuda, but torch finds no GPU here; use auto or cpu, or run where there is one")
    if settings.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    place, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if place >= gpus:
        raise UserError(f"training.device: process {place + 1} of this machine finds {gpus} GPUs; start one process for each GPU")
    torch.cuda.set_device(place)
    return torch.device("cuda")


def autocast(settings: TrainingSettings, device: torch.device) -> AbstractContextManager[object]:
    """The context in which the forward pass runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16")


def compiled(function: Callable[..., Any], settings: TrainingSettings, device: torch.device) -> Callable[..., Any]:
    """A function of tensors as the settings want it: compiled or, also where that is not chosen yet, as it is."""
    if settings.compile in (False, "auto"):
        return function
    return torch.compile(function, mode="reduce-overhead" if uses_graphs(settings, device) else None)


def uses_graphs(settings: TrainingSettings, device: torch.device) -> bool:
    """Whether what is compiled is recorded as CUDA graphs, which compute in the same memory every time."""
    return settings.compile == "graphs" and device.type == "cuda"


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4  # malloc.h of glibc


def keep_memory() -> None:
    """Tell glibc to keep freed memory instead of returning it to the system and asking for it again in every step.

    Large tensors come and go in each step of eager training; without this each is mapped anew, page by page. Other C libraries
    are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 * 2**20)):
            mallopt(option, value)


def map_each_tensor() -> None:
    """The opposite of `keep_memory`: give back what is free, and give each large tensor pages of its own, which go when it goes.

    Slower, but then the process takes from the system what its tensors take, the same every time.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        for option, value in ((M_MMAP_MAX, 2**16), (M_MMAP_THRESHOLD, 2**16), (M_TOP_PAD, 0)):
            library.mallopt(option, value)
        library.malloc_trim(0)


def matmul_rate(shape: tuple[int, int, int], settings: TrainingSettings, device: torch.device, seconds: float = 0.2) -> float:
    """Operations per second, at its best, of a product (rows, inner) times (inner, columns) in the precision of the settings.

    shape: rows, inner, columns.
    """
    rows, inner, columns = shape
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    left = torch.randn(rows, inner, device=device, dtype=dtype)
    right = torch.randn(inner, columns, device=device, dtype=dtype)
    times: list[float] = []
    while len(times) < 2 or sum(times[1:]) + min(times) < seconds:  # the first does not count
        began = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - began)
    return 2 * rows * inner * columns / min(times[1:])


def memory_in_use(device: torch.device | None = None) -> int:
    """The memory in use now, in bytes: of the GPU, or of the process."""
    if device is not None and device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_memory(device: torch.device | None = None) -> int:
    """The most memory in use so far, in bytes: of the GPU, or of the process."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
