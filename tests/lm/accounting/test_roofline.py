"""Times by hand: from data sheets, from grids, from fitted costs."""

from typing import get_args

import numpy as np
import pytest

from stages.lm.accounting.clocked import Watched
from stages.lm.accounting.costs import CACHES, Cost, Products, Timed, least_squares
from stages.lm.accounting.devices import DEVICES, memory_of
from stages.lm.accounting.operations import Operation, Product
from stages.lm.accounting.products import Grid
from stages.lm.accounting.profile import Profile
from stages.lm.accounting.roofline import Sheet, breakdown
from stages.lm.accounting.settings import MachineSettings
from stages.lm.accounting.speed import price

DAY = 86_400


def work(flops: float, precision: str = "bfloat16", moved: int = 0) -> Operation:
    return Operation(f"aten::mm {precision}", (), int(flops), moved)


def test_napkin_days() -> None:
    """70B parameters on 15T tokens by 1024 H100; GPT-2 XL of the course's handout by one A100 in fp32."""
    large = breakdown({work(6 * 70e9 * 15e12): 1}, Sheet(DEVICES["h100"], 0.5))["total"]
    assert large / 1024 / DAY == pytest.approx(143.9, abs=0.05)
    small = breakdown({work(400_000 * 1024 * 3 * 4.5133e12, "float32"): 1}, Sheet(DEVICES["a100"], 0.5))["total"]
    assert small / DAY == pytest.approx(6584, abs=1)


def test_an_h100_turns_at_295_operations_a_byte() -> None:
    """989.5e12 / 3.35e12: below, an operation waits for memory; above, for arithmetic."""
    sheet = Sheet(DEVICES["h100"], 1.0)
    assert sheet.seconds(work(294e9, moved=10**9), 0)["memory"] == pytest.approx(1e9 / 3.35e12)
    assert sheet.seconds(work(297e9, moved=10**9), 0)["matrix products"] == pytest.approx(297e9 / 989.5e12)


@pytest.mark.parametrize(("name", "tf32"), [("a100", 156e12), ("h100", 494.5e12), ("b200", 1100e12), ("desktop", 1.152e12)])
def test_products_of_fp32_that_need_not_be_exact_are_those_of_tf32(name: str, tf32: float) -> None:
    """Dense rates of data sheets; processors have no such format."""
    device = DEVICES[name]
    for exact, rate in ((True, device.fp32), (False, tf32)):
        sheet = Sheet(device, 0.5, exact)
        assert sheet.seconds(work(1e12, "float32"), 0)["matrix products"] == pytest.approx(1e12 / (0.5 * rate))
        assert sheet.seconds(work(1e12), 0)["matrix products"] == pytest.approx(1e12 / (0.5 * device.bf16))
        assert (sheet.peak("fp32"), sheet.peak("bf16")) == pytest.approx((rate, device.bf16))


def test_short_operations_wait_for_their_call() -> None:
    found = breakdown({Operation("aten::add.Tensor float32", (), 0, 3350): 1000}, Sheet(DEVICES["h100"], 1.0))
    assert found["memory"] == pytest.approx(1000 * 1e-9)
    assert found["total"] == pytest.approx(1000 * Sheet.CALL)


def test_data_sheets() -> None:
    """The peaks that the course's accounting works with; what it calls B200 draws 1200 W, as in the GB200."""
    course = {"a100": (19.5e12, 312e12), "h100": (67.5e12, 1979e12 / 2), "gb200": (80e12, 2500e12)}
    for name, peaks in course.items():
        assert (DEVICES[name].fp32, DEVICES[name].bf16) == pytest.approx(peaks, rel=0.01)


def test_every_device_can_be_named() -> None:
    assert get_args(MachineSettings.model_fields["device"].annotation) == ("here", *DEVICES)
    assert (memory_of("h100"), memory_of("80GB"), memory_of("a100-40gb")) == (80 * 10**9, 80 * 10**9, 40 * 10**9)
    with pytest.raises(ValueError, match="'h1000' is no amount of memory"):
        memory_of("h1000")


def test_rates_between_the_points_of_a_grid() -> None:
    """Twice the rows between one and four is half way in the logarithm; beyond the grid nothing changes."""
    grid = Grid(axes=[[1, 4], [10, 1000]], rates=[1e9, 4e9, 4e9, 16e9])
    assert [grid.rate(point) for point in ((1, 10), (4, 1000), (2, 10), (2, 100), (64, 10), (1, 1))] == pytest.approx(
        [1e9, 16e9, 2e9, 4e9, 4e9, 1e9]
    )


def test_fits_find_what_made_the_numbers_and_are_never_negative() -> None:
    features = np.random.default_rng(0).uniform(1, 100, (50, 3))
    assert least_squares(features, features @ [0.5, 0.0, 2.0]) == pytest.approx([0.5, 0.0, 2.0], abs=1e-9)
    assert least_squares(features, features @ [-0.5, 0.1, 2.0]).min() == 0.0


def test_what_is_fitted_adds_up_to_what_was_measured() -> None:
    """Also where single measurements scatter by half."""
    random = np.random.default_rng(0)
    features = np.stack([np.ones(400), random.lognormal(0, 2, 400)], axis=1)
    seconds = features @ [1.0, 3.0] * random.uniform(0.5, 1.5, 400)
    assert (features @ least_squares(features, seconds)).sum() == pytest.approx(seconds.sum(), rel=1e-3)


def test_every_example_counts_the_same_with_the_first_power() -> None:
    """Two that no line through nothing fits: of 1 and 100, each off by a third, the one way and the other."""
    assert least_squares(np.array([[1.0], [100.0]]), np.array([1.0, 200.0]), power=1.0) == pytest.approx([1.5])
    assert least_squares(np.array([[1.0], [100.0]]), np.array([1.0, 200.0])) == pytest.approx([201 / 101])


def test_a_profile_explains_the_machine_that_made_it() -> None:
    """A machine of 100 GFLOP/s and 10 GB/s from memory, twice as fast in the cache. A call from Python takes 2 us, one by
    autograd half a us, and to the clock 5 us more."""

    def machine(operation: Operation) -> float:
        near = min(operation.bytes, CACHES[1])
        if operation is view:
            return 0.0
        return 1e-6 + near / 20e9 + (operation.bytes - near) / 10e9 if not operation.flops else 1e-6 + operation.flops / 100e9

    def product(rows: int) -> Operation:
        inside = Product("float32", "nt", 1, rows, 256, 256)
        return Operation("aten::mm float32", (inside,), inside.flops, 0)

    def example(*operations: Operation) -> Watched:
        seconds = sum(machine(one) + (0.5e-6 if one.backward else 2e-6) for one in (view, *operations))
        return Watched([Timed(one, machine(one) + 5e-6) for one in (view, *operations)], seconds)

    view = Operation("aten::view float32", (), 0, 0)
    adds = [Operation("aten::add.Tensor float32", (), 0, 10**power) for power in range(2, 9)]
    flat = {f"float32 {layout}": Grid(axes=[[1], [1], [1], [1]], rates=[100e9]) for layout in ("nt", "nn", "tn")}
    bare = Profile(about={}, products=flat, streams=Grid(axes=[[1], [1]], rates=[1e12]))
    backward = [add._replace(backward=True) for add in adds]
    products = map(product, (1, 10, 100, 1000))
    found = bare.fitted([example(*adds), example(*products), example(*adds[:3], product(64)), example(*backward, *adds[:2])])
    unseen = {Operation("aten::add.Tensor float32", (), 0, 3 * 10**7): 5, product(500): 3}
    expected = sum(count * (machine(operation) + 2e-6) for operation, count in unseen.items())
    assert breakdown(unseen, found)["total"] == pytest.approx(expected, rel=1e-3)
    called = {operation._replace(backward=True): count for operation, count in unseen.items()}
    assert breakdown(called, found)["total"] == pytest.approx(expected - 8 * 1.5e-6, rel=1e-3)
    other = Operation("aten::never_seen float32", (), 0, 10**6)
    assert breakdown({other: 1}, found)["total"] == pytest.approx(machine(other) + 2e-6, rel=1e-3)


def test_matrices_that_do_not_stay_in_the_cache_wait_for_memory() -> None:
    flat = {"float32 nt": Grid(axes=[[1], [1], [1], [1]], rates=[1e15])}
    streams = Grid(axes=[[1, 16], [2**20, 2**30]], rates=[100e9, 10e9, 50e9, 5e9])
    thin = Operation("aten::mm float32", (Product("float32", "nt", 1, 1, 512, 512),), 2**19, 2**20)
    profile = Profile(about={}, products=flat, streams=streams)
    assert profile.alone(thin, 2**20).reading == pytest.approx(2**20 / 100e9)
    assert profile.alone(thin, 2**30).reading == pytest.approx(2**20 / 10e9)
    few, many = (thin._replace(products=(thin.products[0]._replace(rows=rows),)) for rows in (16, 17))
    assert profile.alone(few, 2**30).reading == pytest.approx(2**20 / 5e9)
    assert profile.alone(many, 2**30).reading == profile.alone(thin, 2**30).reading
    waiting = Cost(fixed=1e-6, near=0, middle=0, far=0, quicker=0.5, slower=1.0)
    assert waiting.seconds(thin, Products(3e-6, 8e-6)) == waiting.seconds(thin, Products(8e-6, 3e-6)) == pytest.approx(10.5e-6)


def test_energy_and_money() -> None:
    """Two H100 for 100 hours: 140 kWh; at 0.30 a kWh and 2.50 a device and hour, 42 and 500."""
    rented = MachineSettings(device="h100", price_per_kwh=0.3, price_per_device_hour=2.5)
    assert price(360_000, rented, devices=2) == pytest.approx({"energy_kwh": 140.0, "cost": 542.0})
    assert price(360_000, MachineSettings()) == {}
    assert price(3600, MachineSettings(watts=50, price_per_kwh=0.4)) == pytest.approx({"energy_kwh": 0.05, "cost": 0.02})
