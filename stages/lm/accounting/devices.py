"""Devices as their data sheets describe them: dense matrix-product rates, memory, bandwidth, power.

The rate of sparse matrices, which data sheets show first and is twice as high, is left out. Of processors the rate is
cores x clock x operations per cycle: two fused multiply-adds of 8 numbers, or one of 16, at the clock that is promised for all
cores; tf32 and bf16 are no faster there than fp32. `watts` is what the vendor says the device may draw, of the M2 the whole
computer.
"""

from typing import NamedTuple

from stages.lm.accounting.sizes import memory_size


class Device(NamedTuple):
    """One device at its best."""

    fp32: float
    """Operations per second of matrix products."""
    tf32: float
    """Of those of fp32 numbers that may be rounded to TF32 first, as `matmul_precision` lets them be unless it is highest."""
    bf16: float
    bandwidth: float
    """Bytes per second from and to its memory."""
    memory: float
    """Bytes."""
    watts: float


def processor(cores: int, clock: float, transfers: float, memory: float, watts: float) -> Device:
    """A processor with two channels of 8 bytes to its memory, which do so many transfers a second."""
    rate = cores * clock * 32
    return Device(rate, rate, rate, 2 * 8 * transfers, memory, watts)


DEVICES = {
    # NVIDIA A100 Tensor Core GPU, data sheet: SXM and PCIe cards of 80 GB, and those of 40 GB
    "a100": Device(19.5e12, 156e12, 312e12, 2.039e12, 80e9, 400),
    "a100-pcie": Device(19.5e12, 156e12, 312e12, 1.935e12, 80e9, 300),
    "a100-40gb": Device(19.5e12, 156e12, 312e12, 1.555e12, 40e9, 400),
    "a100-40gb-pcie": Device(19.5e12, 156e12, 312e12, 1.555e12, 40e9, 250),
    # NVIDIA H100 Tensor Core GPU, data sheet: SXM (989 TFLOPS of TF32 and 1979 of bf16 with sparsity) and PCIe (756, 1513)
    "h100": Device(67e12, 989e12 / 2, 1979e12 / 2, 3.35e12, 80e9, 700),
    "h100-pcie": Device(51e12, 756e12 / 2, 1513e12 / 2, 2e12, 80e9, 350),
    # NVIDIA H200 Tensor Core GPU, data sheet: SXM
    "h200": Device(67e12, 989e12 / 2, 1979e12 / 2, 4.8e12, 141e9, 700),
    # NVIDIA Blackwell Architecture Technical Brief, HGX B200 at 1000 W; memory and bandwidth: DGX B200 data sheet, an eighth
    "b200": Device(80e12, 2200e12 / 2, 4500e12 / 2, 8e12, 180e9, 1000),
    # The same brief, GB200 at 1200 W; memory and fp32: GB200 NVL72 data sheet, a 72nd. It is what courses call a B200
    "gb200": Device(80e12, 2500e12 / 2, 5000e12 / 2, 8e12, 186e9, 1200),
    # NVIDIA Ada GPU Architecture, white paper, appendix A: GeForce RTX 4090, bf16 with accumulation in fp32
    "rtx-4090": Device(82.6e12, 82.6e12, 165.2e12, 1.008e12, 24e9, 450),
    # NVIDIA GeForce RTX 3060, specifications: 3584 cores at 1.78 GHz; by NVIDIA Ampere GA102, white paper, TF32 is as fast as
    # fp32, and bf16 twice
    "rtx-3060": Device(2 * 3584 * 1.78e9, 2 * 3584 * 1.78e9, 4 * 3584 * 1.78e9, 0.36e12, 12e9, 170),
    # Apple newsroom, "Apple unveils M2": its GPU; Apple support, "Mac mini power consumption": at most
    "m2": Device(3.6e12, 3.6e12, 3.6e12, 0.1e12, 24e9, 50),
    # Intel Core i7-1165G7, specifications: 4 cores at 2.8 GHz when 28 W are allowed, DDR4-3200
    "laptop": processor(4, 2.8e9, 3200e6, 16e9, 28),
    # AMD Ryzen 7 7700X, specifications: 8 cores at 4.5 GHz, 105 W, DDR5-5200
    "desktop": processor(8, 4.5e9, 5200e6, 32e9, 105),
}
"""Those without `pcie` in their name are SXM modules, where there are both."""


def memory_of(text: str) -> int:
    """The bytes that `80GB` says, or the name of a device. Raises ValueError for anything else."""
    return int(DEVICES[text].memory) if text in DEVICES else memory_size(text)
