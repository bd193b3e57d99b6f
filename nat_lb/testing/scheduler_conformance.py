"""What every scheduler owes, and what it claims, as tests to inherit.

    from nat_lb.testing.conformance import FAIR_BY_WEIGHT, SchedulerConformance

    class TestMine(SchedulerConformance):
        scheduler = "mine"
        options = {"depth": 3}
        claims = {FAIR_BY_WEIGHT}

The law: a scheduler is tested as it is installed, found by its name, with the options as the configuration would
give them; and only for what it says of itself in class attributes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from nat_lb.config import parse, parse_options
from nat_lb.director import Director
from nat_lb.flow import FlowKey
from nat_lb.scheduler import Scheduler, ServiceView
from nat_lb.testing.claims import SEARCH, Claim, fail
from nat_lb.testing.installed import REALS, VIRTUAL, check_found, check_unknown_option, class_of, registry, toml_table
from nat_lb.testing.packets import SYN
from nat_lb.testing.rehearsal import VIRTUAL as SERVICE
from nat_lb.testing.rehearsal import Rehearsal, flow
from nat_lb.testing.scenario import Scenario
from nat_lb.testing.scheduler_machine import machine

MIXTURES = ((1, 1), (1, 2, 3), (4, 3, 2), (5, 1))
ROUNDS = 60  # connections for each unit of weight
CLIENTS = 60


class SchedulerConformance:
    """Tests of one scheduler; a subclass names it and says what it claims."""

    scheduler: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}  # [service.scheduler_options]
    claims: ClassVar[Collection[Claim]] = frozenset()
    may_refuse: ClassVar[bool] = False  # whether None is an answer while some real server is usable
    tolerance: ClassVar[float] = 0.0  # of fairness: a server's connections may differ by this share of all
    most_moved: ClassVar[float] = 0.1  # share of the clients that MOVES_FEW may move besides those that have to
    distribution: ClassVar[str] = ""  # nat-lb-NAME if empty
    search: ClassVar[settings] = settings(SEARCH, max_examples=50, stateful_step_count=30)

    @classmethod
    def scheduler_class(cls) -> type[Scheduler]:
        """Return the class to test: the one that is installed under the name."""
        offered: type[Scheduler] = class_of("scheduler", cls.scheduler)
        return offered

    @classmethod
    def make(cls, service: ServiceView) -> Scheduler:
        """Return a new scheduler object as a director makes it; override it for what options cannot say."""
        scheduler = cls.scheduler_class()
        if scheduler.options is None:
            return scheduler(service)
        where = f'scheduler "{cls.scheduler}": options'
        return scheduler(service, parse_options(scheduler.options, cls.options, where))

    def rehearse(self, *weights: int) -> Rehearsal:
        """Return a new scheduler with real servers of these weights."""
        return Rehearsal(self.make, *weights)

    def test_plugin_is_found_under_its_entry_point_name(self) -> None:
        """It is installed, loaded, in the distribution and under the entry point that users expect."""
        check_found("scheduler", self.scheduler, self.distribution or f"nat-lb-{self.scheduler}")

    def test_option_that_it_does_not_declare_is_refused(self) -> None:
        """An unknown key in [service.scheduler_options] is an error that names the key."""
        whose, table = f'scheduler "{self.scheduler}"', "service.scheduler_options"
        check_unknown_option(whose, table, lambda unknown: self._director({**self.options, unknown: 1}))

    def test_declared_options_are_accepted_from_toml(self) -> None:
        """The options of these tests are what a configuration may hold."""
        self._director(self.options)

    def test_nobody_is_chosen_when_there_is_no_real_server(self) -> None:
        """No real server, none yet or none any more: the answer is None and nothing is raised."""
        rehearsal = self.rehearse()
        self._expect_none(rehearsal)
        rehearsal.add(1)
        rehearsal.connect(flow(1))
        rehearsal.remove(0)
        self._expect_none(rehearsal)

    def test_nobody_is_chosen_when_all_are_quiesced_or_overloaded(self) -> None:
        """Real servers, but none usable: the answer is None."""
        rehearsal = self.rehearse(0, 0)
        self._expect_none(rehearsal)
        rehearsal = self.rehearse(1, 2)
        for at, server in enumerate(rehearsal.servers):
            rehearsal.open(server)
            rehearsal.limit(at, 1)
        self._expect_none(rehearsal)
        rehearsal = self.rehearse(0, 1)
        rehearsal.open(rehearsal.servers[1])
        rehearsal.limit(1, 1)
        self._expect_none(rehearsal)

    def test_greatest_weights_are_survived(self) -> None:
        """Weights up to 65535 are served, and in bounded time."""
        for weights in (65535, 1), (65535, 65534, 0):
            rehearsal = self.rehearse(*weights)
            for client in range(5):
                if rehearsal.connect(flow(client)) is None and not self.may_refuse:
                    rehearsal.blame("chose None although a real server is usable", flow(client))

    def test_only_usable_servers_are_chosen_whatever_changes(self) -> None:
        """Whatever is added, removed, reweighted or overloaded between two decisions, the choice may be chosen."""
        run_state_machine_as_test(machine(self.make, may_refuse=self.may_refuse), settings=self.search)

    def test_plan_and_code_agree_on_every_decision(self) -> None:
        """A fast path that carries out the plan alone decides as `schedule` does."""
        if self.rehearse(2, 1).plan is None:
            return  # a scheduler that is code owes no plan
        run_state_machine_as_test(machine(self.make, may_refuse=True, by_plan=True), settings=self.search)

    def test_clients_are_balanced_through_the_director(self) -> None:
        """A whole director, made from TOML, forwards clients by it without a fault."""
        scenario = Scenario(self._configuration(self.options))
        for number in range(20):
            outcome = scenario.client(f"203.0.113.{1 + number % 9}:{3000 + number}").sends(SYN)
            if not self.may_refuse and not isinstance(outcome.verdict, (bytes, bytearray)):
                fail(f'scheduler "{self.scheduler}" in a director: {outcome}', "expected: forwarded to a real server")
        faults = scenario.director.lifecycle.faults.counts
        if faults:
            fail(f'scheduler "{self.scheduler}" in a director: faults were counted: {dict(faults)}')

    def test_connections_are_shared_as_it_claims(self) -> None:
        """FAIR_BY_WEIGHT, FAIR_EQUALLY: each real server gets its share within `tolerance`."""
        for weights in MIXTURES:
            if Claim.FAIR_BY_WEIGHT in self.claims:
                self._expect_shares(weights, weights)
            if Claim.FAIR_EQUALLY in self.claims:
                self._expect_shares(weights, [1] * len(weights))

    def test_client_stays_at_its_server_if_it_claims_so(self) -> None:
        """STICKY, STICKY_TO_DESTINATION: what others do, time and closed connections move nobody."""
        if Claim.STICKY in self.claims:
            self._expect_sticky("client", flow)
        if Claim.STICKY_TO_DESTINATION in self.claims:
            self._expect_sticky("virtual address", lambda number, port: flow(port, port, SERVICE.address + number))

    def test_few_clients_move_when_a_server_goes_if_it_claims_so(self) -> None:
        """MOVES_FEW: when one of five servers goes, at most `most_moved` of the others' clients move."""
        if Claim.MOVES_FEW in self.claims:
            for gone in range(5):
                self._expect_few_move(gone)

    def _configuration(self, options: Mapping[str, Any]) -> str:
        servers = "".join(f'  [[service.real_server]]\n  address = "{real}"\n' for real in REALS)
        table = f"  [service.scheduler_options]\n{toml_table(options)}" if options else ""
        head = f'[[service]]\nprotocol = "tcp"\naddress = "{VIRTUAL}"\nport = 80\nscheduler = "{self.scheduler}"\n'
        return head + table + servers

    def _director(self, options: Mapping[str, Any]) -> Director:
        return Director(parse(self._configuration(options), "conformance.toml"), "conformance.toml", registry())

    def _expect_none(self, rehearsal: Rehearsal) -> None:
        for client in range(3):
            if rehearsal.connect(flow(client)) is not None:
                rehearsal.blame("chose somebody", flow(client))

    def _expect_shares(self, weights: Sequence[int], shares: Sequence[int]) -> None:
        rehearsal = self.rehearse(*weights)
        number = ROUNDS * sum(weights) * len(weights)
        got = Counter(rehearsal.connect(flow(client, 1024 + client % 50000)) for client in range(number))
        allowed = 2 + self.tolerance * number
        for server, share in zip(rehearsal.servers, shares, strict=True):
            fair = number * share / sum(shares)
            if abs(got[server] - fair) > allowed:
                rehearsal.journal[len(weights) :] = [f"connect {number} clients, all of which stay"]
                rehearsal.blame(
                    f"gave {rehearsal.name(server)} {got[server]} of {number} connections", None,
                    f"expected: {fair:.0f}, give or take {allowed:.0f} (tolerance {self.tolerance:g} of all, and 2)",
                    f"claimed: {next(claim for claim in self.claims if claim.name.startswith('FAIR')).value}",
                )  # fmt: skip

    def _expect_sticky(self, who: str, asked: Callable[[int, int], FlowKey]) -> None:
        rehearsal = self.rehearse(1, 2, 3)
        first: list[Any] = [rehearsal.connect(asked(number, 1024)) for number in range(CLIENTS)]
        between: tuple[tuple[str, Callable[[], object]], ...] = (
            ("others asked", lambda: [rehearsal.connect(asked(number, 2000)) for number in range(100, 160)]),
            ("the servers were announced as changed, but are the same", rehearsal.changed),
            ("connections were closed", lambda: rehearsal.close_all(40)),
            ("a minute passed", lambda: rehearsal.wait(60)),
        )
        for at, (event, happen) in enumerate(between, 1):
            happen()
            for number in range(CLIENTS):
                flow_now: FlowKey = asked(number, 1024 + at)
                chosen = rehearsal.connect(flow_now)
                if chosen is not first[number]:
                    was, now = rehearsal.name(first[number]), rehearsal.name(chosen)
                    rehearsal.journal[3:] = [f"connect {CLIENTS} clients", *(e for e, _ in between[:at])]
                    rehearsal.blame(
                        f"is not sticky: one {who} was sent to {was} first and to {now} after {event}", flow_now,
                        f"expected: {was} again, whatever its source port",
                    )  # fmt: skip

    def _expect_few_move(self, gone: int) -> None:
        rehearsal = self.rehearse(1, 1, 1, 1, 1)
        before = [rehearsal.ask(flow(client)) for client in range(1000)]
        removed = rehearsal.servers[gone]
        rehearsal.remove(gone)
        stayed = [(client, server) for client, server in enumerate(before) if server is not removed]
        moved = sum(rehearsal.ask(flow(client)) is not server for client, server in stayed)
        if moved > self.most_moved * len(stayed):
            rehearsal.blame(
                f"moved {moved} of {len(stayed)} clients of the real servers that stayed", None,
                f"expected: {self.most_moved:.0%} at most (most_moved)",
            )  # fmt: skip


__all__ = ["SchedulerConformance"]
