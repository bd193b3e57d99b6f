"""Steering: which programs are run with what, in which order, and when it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_lb.errors import SystemFault
from nat_lb.io.steering import Steering, run_program


class FakeIptables:
    """Plays iptables-save and -restore for one process: keeps each table's chains and rules."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], list[str]] = {}
        self.restored: list[tuple[str, str]] = []

    def __call__(self, command: list[str], text: str) -> str:
        program = command[0]
        if program.endswith("-save"):
            family, table = program.removesuffix("-save"), command[command.index("-t") + 1]
            return "\n".join([f"*{table}", *self.tables.get((family, table), []), "COMMIT", ""])
        assert command[1:] == ["--noflush", "-w", "5"]
        self.restored.append((program, text))
        family = program.removesuffix("-restore")
        table, *lines, end = text.splitlines()
        assert end == "COMMIT"
        state = self.tables.setdefault((family, table[1:]), [])
        for line in lines:
            self._apply(state, line)
        return ""

    def _apply(self, state: list[str], line: str) -> None:
        verb, name = line.split()[0], line.split()[1]
        if line[0] == ":":
            chain = verb[1:]
            state[:] = [old for old in state if not old.startswith((f"-A {chain} ", f":{chain} "))] + [line]
        elif verb == "-A":
            state.append(line)
        elif verb == "-D":
            state.remove(f"-A{line[2:]}")
        else:
            assert not [old for old in state if old.startswith(f"-A {name} ") or old.endswith(f"-j {name}")], name
            state.remove(f":{name} - [0:0]")

    def rules(self, family: str, table: str) -> str:
        return "\n".join(self.tables.get((family, table), []))


@pytest.fixture
def iptables() -> FakeIptables:
    return FakeIptables()


def steering(iptables: FakeIptables, queue: int = 0, bound: tuple[int, ...] = ()) -> Steering:
    vips, servers = ["192.0.2.1", "2001:db8::1"], ["10.0.0.2", "fd00::2", "10.0.0.2"]
    return Steering(vips, servers, queue, run=iptables, bound=lambda: bound, mtu=lambda: 1500)


def test_each_address_goes_to_its_family_once(iptables: FakeIptables) -> None:
    steering(iptables).install()
    assert "-d 192.0.2.1 " in iptables.rules("iptables", "raw")
    assert iptables.rules("iptables", "mangle").count("10.0.0.2") == 1
    assert "-d 2001:db8::1 " in iptables.rules("ip6tables", "raw")
    assert "-s fd00::2 " in iptables.rules("ip6tables", "mangle")
    assert len(iptables.restored) == 4


def test_family_without_addresses_is_left_alone(iptables: FakeIptables) -> None:
    Steering(["192.0.2.1"], ["10.0.0.2"], 0, run=iptables, bound=tuple).install()
    assert [program for program, _ in iptables.restored] == ["iptables-restore"] * 2


def test_removal_leaves_nothing_behind(iptables: FakeIptables) -> None:
    iptables.tables["iptables", "raw"] = ["-A PREROUTING -s 10.0.0.9/32 -j DROP"]
    rules = steering(iptables)
    rules.install()
    rules.remove()
    assert iptables.rules("iptables", "raw") == "-A PREROUTING -s 10.0.0.9/32 -j DROP"
    assert not any(iptables.rules(*key) for key in iptables.tables if key != ("iptables", "raw"))


def test_removal_of_nothing_changes_nothing(iptables: FakeIptables) -> None:
    steering(iptables).remove()
    assert iptables.restored == []


def test_update_is_one_transaction_a_table_and_keeps_the_jumps(iptables: FakeIptables) -> None:
    rules = steering(iptables)
    rules.install()
    iptables.restored.clear()
    rules.update(["192.0.2.7", "2001:db8::7"], ["10.0.0.7", "fd00::7"])
    assert len(iptables.restored) == 4
    assert not [text for _, text in iptables.restored if "PREROUTING" in text or "POSTROUTING" in text]
    assert "192.0.2.7" in iptables.rules("iptables", "raw")
    assert "192.0.2.1" not in iptables.rules("iptables", "raw")


def test_update_that_ends_a_family_removes_its_rules(iptables: FakeIptables) -> None:
    rules = steering(iptables)
    rules.install()
    rules.update(["192.0.2.1"], ["10.0.0.2"])
    assert iptables.rules("ip6tables", "raw") == iptables.rules("ip6tables", "mangle") == ""
    assert "192.0.2.1" in iptables.rules("iptables", "raw")


def test_second_installation_changes_nothing(iptables: FakeIptables) -> None:
    steering(iptables).install()
    before = {key: sorted(lines) for key, lines in iptables.tables.items()}
    steering(iptables).install()
    assert {key: sorted(lines) for key, lines in iptables.tables.items()} == before


def test_leftovers_of_a_killed_director_are_removed(iptables: FakeIptables) -> None:
    steering(iptables, queue=7).install()
    steering(iptables, queue=0).remove_leftovers()
    assert not any(iptables.tables.values())


@pytest.mark.parametrize("queue", [0, 7])
def test_rules_of_a_living_director_are_not_touched(iptables: FakeIptables, queue: int) -> None:
    steering(iptables, queue=7).install()
    before = {key: list(lines) for key, lines in iptables.tables.items()}
    with pytest.raises(SystemFault, match=r"another nat-lb is running .* on queue 7"):
        steering(iptables, queue=queue, bound=(7, 8)).remove_leftovers()
    assert iptables.tables == before


def test_own_queues_are_no_rival_to_an_installation(iptables: FakeIptables) -> None:
    steering(iptables, queue=7).install()
    steering(iptables, queue=7, bound=(7, 8)).install()
    with pytest.raises(SystemFault, match="another nat-lb"):
        steering(iptables, queue=0, bound=(0, 1, 7, 8)).install()


def test_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(SystemFault, match=r"`no-such-iptables` is not installed\. Debian's package: iptables"):
        run_program(["no-such-iptables"], "")


def test_failure_tells_the_programs_words_and_what_the_kernel_needs(tmp_path: Path) -> None:
    program = tmp_path / "iptables-restore"
    program.write_text("#!/bin/sh\necho 'RULE_APPEND failed (No such file or directory)' >&2\nexit 4\n")
    program.chmod(0o755)
    with pytest.raises(SystemFault, match=r"RULE_APPEND failed .*NFQUEUE target"):
        run_program([str(program)], "*raw\nCOMMIT\n")


def test_program_is_given_its_text_and_its_output_returned() -> None:
    assert run_program(["cat"], "*raw\n") == "*raw\n"


@pytest.mark.parametrize(("mtu", "jumbo"), [(1500, False), (3840, False), (3841, True), (9000, True)])
def test_jumbo_frames_of_any_device_change_the_rules(mtu: int, jumbo: bool) -> None:
    iptables = FakeIptables()
    Steering(["192.0.2.1"], ["10.0.0.2"], 0, run=iptables, bound=tuple, mtu=lambda: mtu).install()
    transactions = [text for _, text in iptables.restored]
    assert transactions
    assert all(("-p tcp -j NFQUEUE --queue-num 1\n" in text) is jumbo for text in transactions)
