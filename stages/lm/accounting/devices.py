"""Devices as their data sheets describe them: dense matrix-product rates, memory, bandwidth, power.

NVIDIA A100 (80 GB SXM), H100 (SXM), H200 (SXM), B200 data sheets; GeForce RTX 4090 from the Ada, 3060 from the Ampere
architecture white paper, bf16 with accumulation in fp32. Rates of sparse matrices, twice as high, are left out. Of processors the
rate is cores x clock x operations per cycle (two fused multiply-adds of 8 numbers: AVX2), and bf16 is no faster than fp32; of the
M2, its GPU.
"""

from typing import NamedTuple


class Device(NamedTuple):
    """One device at its best."""

    fp32: float
    """Operations per second of matrix products."""
    bf16: float
    bandwidth: float
    """Bytes per second from and to its memory."""
    memory: float
    """Bytes."""
    watts: float

    def peak(self, precision: str) -> float:
        """Operations per second in a precision of the training settings."""
        return self.bf16 if precision == "bf16" else self.fp32


DEVICES = {
    "a100": Device(19.5e12, 312e12, 2.039e12, 80e9, 400),
    "h100": Device(67.5e12, 989.5e12, 3.35e12, 80e9, 700),
    "h200": Device(67.5e12, 989.5e12, 4.8e12, 141e9, 700),
    "b200": Device(80e12, 2500e12, 8e12, 180e9, 1000),
    "rtx-4090": Device(82.6e12, 165.2e12, 1.008e12, 24e9, 450),
    "rtx-3060": Device(12.7e12, 25.4e12, 0.36e12, 12e9, 170),
    "m2": Device(3.6e12, 3.6e12, 0.1e12, 16e9, 22),
    "laptop": Device(4 * 2.5e9 * 32, 4 * 2.5e9 * 32, 0.045e12, 16e9, 28),
    "desktop": Device(8 * 4e9 * 32, 8 * 4e9 * 32, 0.08e12, 32e9, 120),
}
"""laptop: 4 cores at 2.5 GHz, two channels of DDR4-2800; desktop: 8 cores at 4 GHz, two channels of DDR5-5000."""
