"""The rules' text: what is queued, what never is, and how one state is turned into another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nat_lb.io.rules import IPV4, IPV6, TABLES, Family, Plan, installation, queues_in, removal

PLAN = Plan(("192.0.2.1",), ("10.0.0.2", "10.0.0.3"), 5, ("tcp", "udp"))
PLAN6 = Plan(("2001:db8::1",), ("fd00::2",), 0, ("tcp", "udp"))


def saved(text: str) -> str:
    """Return what iptables-save would print after this transaction."""
    return "\n".join(line for line in text.splitlines() if line[:2] in ("*r", "*m", "-A", "CO") or line[0] == ":")


def rules(text: str, chain: str) -> list[str]:
    return [line.split(" ", 2)[2] for line in text.splitlines() if line.startswith(f"-A {chain} ")]


def test_raw_table_queues_what_is_addressed_to_a_vip() -> None:
    text = installation(IPV4, "raw", PLAN, "")
    assert rules(text, "NAT-LB-IN") == ["-m mark --mark 0x20000000/0x20000000 -j RETURN", "-d 192.0.2.1 -j NAT-LB-OURS"]
    assert rules(text, "NAT-LB-OURS")[:2] == ["-p tcp -j NAT-LB-TAKE", "-p udp -j NAT-LB-TAKE"]
    jump = "-m comment --comment nat-lb -j NAT-LB-IN"
    assert rules(text, "PREROUTING") == rules(text, "OUTPUT") == [jump]


def test_mangle_table_queues_what_real_servers_send_and_every_icmp_error() -> None:
    text = installation(IPV4, "mangle", PLAN, "")
    mark, *others = rules(text, "NAT-LB-OUT")
    assert mark == "-m mark --mark 0x20000000/0x20000000 -j RETURN"
    assert others[:2] == ["-s 10.0.0.2 -j NAT-LB-OURS", "-s 10.0.0.3 -j NAT-LB-OURS"]
    assert others[2:] == [f"-p icmp -m icmp --icmp-type {kind} -j NAT-LB-PASS" for kind in (3, 4, 11, 12)]
    assert rules(text, "POSTROUTING") == rules(text, "INPUT") == ["-m comment --comment nat-lb -j NAT-LB-OUT"]


@pytest.mark.parametrize("table", TABLES)
def test_large_packets_have_a_queue_of_their_own(table: str) -> None:
    assert rules(installation(IPV4, table, PLAN, ""), "NAT-LB-TAKE") == [
        "! -p tcp -m length --length 3841:65535 -j NFQUEUE --queue-num 6",
        "-j NFQUEUE --queue-num 5",
    ]


@pytest.mark.parametrize("table", TABLES)
def test_jumbo_frames_put_all_segments_into_the_queue_of_large_packets(table: str) -> None:
    first, *others = rules(installation(IPV4, table, replace(PLAN, jumbo=True), ""), "NAT-LB-TAKE")
    assert first == "-p tcp -j NFQUEUE --queue-num 6"
    assert others == rules(installation(IPV4, table, PLAN, ""), "NAT-LB-TAKE")


def test_only_icmp_errors_of_anyone_pass_without_a_director() -> None:
    text = installation(IPV4, "mangle", PLAN, "")
    bypassed = [line for line in text.splitlines() if "--queue-bypass" in line]
    assert [line.split()[1] for line in bypassed] == ["NAT-LB-PASS", "NAT-LB-PASS"]


def test_neighbour_discovery_and_echo_are_never_queued() -> None:
    text = installation(IPV6, "raw", PLAN6, "") + installation(IPV6, "mangle", PLAN6, "")
    kinds = {line.split("--icmpv6-type ")[1].split()[0] for line in text.splitlines() if "icmpv6" in line}
    assert kinds == {"1", "2", "3", "4"}


def test_defragmentation_is_asked_for_without_connection_tracking() -> None:
    text = installation(IPV6, "raw", PLAN6, "")
    assert rules(text, "NAT-LB-DEFRAG") == ["-p udp -m socket -j RETURN"]
    assert "conntrack" not in text
    assert "-j NAT-LB-DEFRAG" not in text


def test_other_protocols_are_queued_when_asked_for() -> None:
    plan = replace(PLAN, protocols=("tcp", "gre"))
    assert rules(installation(IPV4, "raw", plan, ""), "NAT-LB-OURS")[:2] == [
        "-p tcp -j NAT-LB-TAKE",
        "-p gre -j NAT-LB-TAKE",
    ]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("family", "plan"), [(IPV4, PLAN), (IPV6, PLAN6)])
def test_transaction_is_one_table_committed_once(family: Family, plan: Plan, table: str) -> None:
    lines = installation(family, table, plan, "").splitlines()
    assert (lines[0], lines[-1], lines.count("COMMIT")) == (f"*{table}", "COMMIT", 1)


@pytest.mark.parametrize("table", TABLES)
def test_jumps_that_are_there_are_left_alone_by_an_update(table: str) -> None:
    before = saved(installation(IPV4, table, PLAN, ""))
    text = installation(IPV4, table, replace(PLAN, vips=("192.0.2.9",), real_servers=("10.0.0.9",)), before)
    assert "nat-lb" not in text
    assert "9 -j NAT-LB-OURS" in text
    declared = text.index(":NAT-LB-OURS - [0:0]")
    assert declared < text.index("-A NAT-LB-")


def test_jumps_and_chains_of_another_version_are_replaced() -> None:
    chain = ":NAT-LB-OLD - [0:0]\n-A NAT-LB-OLD -j NFQUEUE --queue-num 9\n"
    left = f"{chain}-A PREROUTING -j NAT-LB-OLD\n-A PREROUTING -j ACCEPT\n"
    lines = installation(IPV4, "raw", PLAN, left).splitlines()
    ours = [line for line in lines if "NAT-LB-OLD" in line]
    assert ours == [":NAT-LB-OLD - [0:0]", "-D PREROUTING -j NAT-LB-OLD", "-X NAT-LB-OLD"]
    assert not [line for line in lines if "ACCEPT" in line]


@pytest.mark.parametrize("table", TABLES)
def test_removal_takes_everything_of_ours_and_nothing_else(table: str) -> None:
    before = saved(installation(IPV4, table, PLAN, "")) + "\n-A PREROUTING -s 10.0.0.2/32 -j DROP\n:OTHER - [0:0]"
    lines = removal(table, before).splitlines()
    chains = {line.split()[0][1:] for line in before.splitlines() if line.startswith(":NAT-LB")}
    assert {line.split()[1] for line in lines if line.startswith("-X")} == chains
    assert len([line for line in lines if line.startswith("-D")]) == 2
    assert not [line for line in lines if "DROP" in line or "OTHER" in line]


def test_nothing_there_means_nothing_to_remove() -> None:
    assert removal("raw", "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DROP\nCOMMIT\n") == ""


def test_queues_are_read_from_our_rules_only() -> None:
    text = installation(IPV4, "mangle", PLAN, "") + "-A PREROUTING -j NFQUEUE --queue-num 77\n"
    assert queues_in(text) == {5, 6}
