"""The machine's settings: every obstacle is named with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_lb.errors import SystemFault
from nat_lb.io.system import check_forwarding, require_root


def proc(root: Path, **settings: str) -> Path:
    for name, value in settings.items():
        path = root / "sys" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def capabilities(root: Path, mask: str) -> Path:
    (root / "self").mkdir()
    (root / "self" / "status").write_text(f"Name:\tpython\nCapInh:\t0\nCapEff:\t{mask}\nCapBnd:\t0\n")
    return root


def test_machine_that_forwards_gives_no_warning(tmp_path: Path) -> None:
    root = proc(
        tmp_path, net__ipv4__ip_forward="1", net__ipv6__conf__all__forwarding="1", net__ipv4__fwmark_reflect="0"
    )
    assert check_forwarding(["192.0.2.1", "2001:db8::1"], root) == []


def test_machine_that_does_not_forward_is_told_the_remedy(tmp_path: Path) -> None:
    root = proc(tmp_path, net__ipv4__ip_forward="0", net__ipv6__conf__all__forwarding="0")
    first, second = check_forwarding(["2001:db8::1", "192.0.2.1", "192.0.2.2"], root)
    assert first.startswith("net.ipv4.ip_forward is 0") and first.endswith("sysctl -w net.ipv4.ip_forward=1")
    assert second.endswith("sysctl -w net.ipv6.conf.all.forwarding=1")


def test_only_the_families_in_use_are_checked(tmp_path: Path) -> None:
    root = proc(tmp_path, net__ipv4__ip_forward="1")
    assert check_forwarding(["192.0.2.1"], root) == []
    assert len(check_forwarding(["2001:db8::1"], root)) == 1


def test_reflected_marks_are_warned_about(tmp_path: Path) -> None:
    root = proc(tmp_path, net__ipv4__ip_forward="1", net__ipv4__fwmark_reflect="1")
    (warning,) = check_forwarding(["192.0.2.1"], root)
    assert warning.endswith("sysctl -w net.ipv4.fwmark_reflect=0")


def test_missing_capabilities_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemFault, match=r"lacks CAP_NET_ADMIN\. Run it as root"):
        require_root(capabilities(tmp_path, "0000000000002000"))


@pytest.mark.parametrize("mask", ["000001ffffffffff", "0000000000003000"])
def test_root_and_the_two_capabilities_suffice(tmp_path: Path, mask: str) -> None:
    require_root(capabilities(tmp_path, mask))
