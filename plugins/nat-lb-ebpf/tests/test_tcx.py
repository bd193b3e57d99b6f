"""Where the TC program is attached: by TCX, or as a filter where the kernel is too old for that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nat_lb_ebpf import EbpfPath, libbpf, tcx
from nat_lb_ebpf.kernel import TC_PROGRAM

from .duel import SMALL, Duel, Ground

pytestmark = pytest.mark.live
OUTSIDE = 2


@pytest.fixture
def attached(tc: Duel) -> Iterator[Duel]:
    tc.path.devices.attach_tc("outside")
    yield tc
    tc.path.devices.detach_tc("outside")


def filters(ground: Ground) -> str:
    return ground.lab.director.run(["tc", "filter", "show", "dev", "outside", "ingress"]).stdout


@pytest.fixture
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(tcx, "_INGRESS", 9999)  # a kind that this kernel does not know, as 46 is before 6.6
    return monkeypatch


def test_tc_program_needs_no_filter(ground: Ground, attached: Duel) -> None:
    number = tcx.present(OUTSIDE, TC_PROGRAM)
    assert number
    assert libbpf.program_name(number) == TC_PROGRAM
    assert not filters(ground)


def test_program_of_another_process_is_replaced_by_ours(ground: Ground, attached: Duel) -> None:
    before = tcx.present(OUTSIDE, TC_PROGRAM)
    other = EbpfPath(SMALL)
    other.devices.attach_tc("outside")
    other.close()
    after = tcx.present(OUTSIDE, TC_PROGRAM)
    assert after
    assert after != before
    attached.path.devices.detach_tc("outside")
    assert tcx.present(OUTSIDE, TC_PROGRAM) == 0, "there were two"


def test_kernel_without_tcx_gets_a_filter(ground: Ground, tc: Duel, old_kernel: pytest.MonkeyPatch) -> None:
    tc.path.devices.attach_tc("outside")
    assert TC_PROGRAM in filters(ground)
    tc.path.devices.detach_tc("outside")
    assert not filters(ground)


def test_filter_of_an_older_kernel_or_version_goes(ground: Ground, tc: Duel, old_kernel: pytest.MonkeyPatch) -> None:
    tc.path.devices.attach_tc("outside")
    old_kernel.undo()
    tc.path.devices.attach_tc("outside")
    assert not filters(ground)
    assert tcx.present(OUTSIDE, TC_PROGRAM)
    tc.path.devices.detach_tc("outside")
    assert not tcx.present(OUTSIDE, TC_PROGRAM)
