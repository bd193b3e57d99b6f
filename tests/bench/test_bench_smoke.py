"""The bench itself, at sizes that measure nothing: every part runs, and says what the page shows."""

from __future__ import annotations

import pytest

from nat_lb.segment import ACK, SYN
from nat_lb.testing import packets
from tests.bench.__main__ import PAGE, PARTS, PICTURE, measure
from tests.bench.bed import KERNEL, PLAIN, TC, XDP
from tests.bench.cables import RIP, VIP
from tests.bench.frames import SMALLEST, Frames, Order
from tests.bench.page import rewritten, rich_table
from tests.bench.picture import drawn
from tests.bench.sample import TINY, Row, Samples, take


@pytest.mark.parametrize("part", ["packet", "table", "collector"])
def test_every_part_in_process_measures_something(part: str) -> None:
    rows = PARTS[part][0](TINY)
    assert len({row.what for row in rows}) == len(rows)
    # So few connections may fit into memory that the process has already.
    assert all(row.value > 0 or row.what.startswith("memory") for row in rows), rows
    assert all(row.ratio is None or row.ratio > 0 for row in rows), rows


@pytest.mark.live
def test_slow_path_is_measured_in_a_namespace_of_its_own() -> None:
    rows = measure("queue", "tiny")
    assert [row.against for row in rows] == ["get and set payload"] * 3
    assert all(row.value > 0 and row.ratio for row in rows), rows


@pytest.mark.live
def test_fast_path_is_measured_against_the_kernel_and_no_packet_is_lost() -> None:
    rows = measure("forward", "tiny")
    small = [row.what for row in rows if row.section == "Fast path: small packets" and row.unit == "packets/s"]
    for name in (PLAIN, TC, XDP):
        assert [what for what in small if what.startswith(name)] == [
            f"{name}, {n:,} connections" for n in (100, 300, 1000)
        ]
    assert {row.what for row in rows if row.section == "Fast path: new connections"} == {TC, XDP}
    assert all(row.value > 0 for row in rows if row.unit.endswith("/s")), rows


@pytest.mark.live
@pytest.mark.parametrize(
    ("order", "ends", "numbers"),
    [
        (Order(SYN, first=7), ("100.64.0.2:1031", f"{VIP}:80"), (0, 0)),
        (Order(ACK, first=50_001), ("100.64.0.3:1025", f"{VIP}:80"), (1, 1)),
        (Order(SYN | ACK, first=7, reply=True), (f"{RIP}:80", "100.64.0.2:1031"), (0, 1)),
    ],
    ids=["opening", "acknowledgement", "reply"],
)
def test_frames_hold_packets_with_right_checksums(
    order: Order, ends: tuple[str, str], numbers: tuple[int, int]
) -> None:
    frames = Frames()
    frames.put(frames.program("nothing_xdp"), "xdp", order)
    _, frame, _ = frames.program("give_xdp").run(bytes(SMALLEST))
    frames.close()
    made = packets.tcp(*ends, order.flags, seq=numbers[0], ack=numbers[1])
    assert frame[14:54] == made, packets.describe(frame[14:54])


def test_picture_shows_each_rate_as_a_part_of_the_kernels() -> None:
    rows = [
        Row("Fast path: new connections", TC, 20.0, "connections/s", KERNEL, 10.0, 2.0),
        Row("Fast path: new connections", XDP, 30.0, "connections/s", KERNEL, 10.0, 3.0),
        Row("Fast path: new connections", TC, 30.0, "ns", KERNEL, 10.0, 5.0),
        Row("One packet", "plain", 30.0, "µs", "other", 10.0, 7.0),
    ]
    picture = drawn(rows, "today, here")
    assert picture.count("<rect") == 1 + 2
    widths = [float(part.split('"')[0]) for part in picture.split('width="')[2:]]
    assert widths[0] / widths[1] == pytest.approx(2 / 3, rel=1e-3)
    assert ">2.00<" in picture
    assert "today, here" in picture


def test_page_shows_the_picture_that_is_there() -> None:
    assert f"]({PICTURE.name})" in PAGE.read_text()
    assert PICTURE.read_text().startswith("<svg")


def test_ratio_is_the_median_of_the_turns_ratios() -> None:
    samples = Samples({"a": [1.0, 20.0, 3.0], "b": [2.0, 10.0, 2.0]})
    assert samples.ratio("a", "b") == 1.5
    assert samples.median("a") == 3.0


def test_candidates_are_measured_in_turns_after_a_turn_to_warm_up() -> None:
    order: list[str] = []

    def candidate(name: str) -> float:
        order.append(name)
        return float(len(order))

    samples = take({"a": lambda: candidate("a"), "b": lambda: candidate("b")}, 2)
    assert "".join(order) == "ababab"
    assert samples.median("a") == 4.0


def test_page_keeps_its_text_around_new_results() -> None:
    row = Row("Speed", "one packet", 2.5, "µs", "before", 5.0, 0.5, "<= 1")
    page = PAGE.read_text()
    new = rewritten(page, [row], TINY)
    assert "| one packet | 2.5 µs | before | 5.0 µs | 0.50 | <= 1 |" in new
    assert new.partition("<!-- generated")[0] == page.partition("<!-- generated")[0]
    assert rewritten(new, [row], TINY) == new
    assert rich_table([row]).row_count == 2
