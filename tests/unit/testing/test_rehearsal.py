"""The service that schedulers are tried on changes as a director changes one, and keeps a journal."""

from __future__ import annotations

import pytest

from nat_lb.api import Cycle, FlowKey, RealServer, Scheduler, ServiceView
from nat_lb.testing.rehearsal import Rehearsal, flow


class InOrder(Scheduler):
    """Takes the servers in turn, and counts how often it was told of a change."""

    name = "in-order"
    told = 0

    def plan(self) -> Cycle:
        self.told += 1
        return Cycle(self.service.real_servers)


class Stubborn(Scheduler):
    """Always answers with a server of its own."""

    name = "stubborn"

    def __init__(self, service: ServiceView, answer: object) -> None:
        self.answer = answer
        super().__init__(service)

    def schedule(self, flow: FlowKey) -> RealServer | None:
        return self.answer  # type: ignore[return-value]


def test_scheduler_is_told_of_servers_and_weights_but_not_of_thresholds() -> None:
    rehearsal = Rehearsal(InOrder, 1, 1)
    scheduler = rehearsal.scheduler
    assert isinstance(scheduler, InOrder)
    rehearsal.add(2)
    rehearsal.reweigh(0, 5)
    rehearsal.remove(1)
    assert scheduler.told == 4
    rehearsal.overload(0)
    rehearsal.close(0)
    assert scheduler.told == 4
    assert [server.weight for server in rehearsal.servers] == [5, 2]


def test_overloaded_server_is_passed_over_until_its_connection_closes() -> None:
    rehearsal = Rehearsal(InOrder, 1, 1)
    rehearsal.overload(0)
    assert rehearsal.name(rehearsal.connect(flow(1))) == "B"
    assert rehearsal.name(rehearsal.connect(flow(1))) == "B"
    rehearsal.close(0)
    assert rehearsal.name(rehearsal.connect(flow(1))) == "A"


def test_journal_tells_every_step_in_order() -> None:
    rehearsal = Rehearsal(InOrder, 1)
    rehearsal.reweigh(0, 0)
    rehearsal.connect(flow(1))
    rehearsal.limit(0, 3)
    rehearsal.wait(60)
    rehearsal.remove(0)
    assert rehearsal.journal == [
        "add A with weight 1",
        "reweight A from 1 to 0",
        "connect 198.18.0.2:1024 > 202.103.106.5:80: None",
        "set upper_threshold of A to 3",
        "wait 60 s",
        "remove A",
    ]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("A", "chose 'A', which is no RealServer"),
        (RealServer(flow(1).destination), "which never belonged to the service"),
    ],
)
def test_answer_that_is_no_server_of_the_service_is_told(answer: object, complaint: str) -> None:
    rehearsal = Rehearsal(lambda service: Stubborn(service, answer), 1)
    with pytest.raises(AssertionError, match=complaint):
        rehearsal.connect(flow(1))


def test_scheduler_that_cannot_be_made_is_told_with_its_servers() -> None:
    def broken(service: ServiceView) -> Scheduler:
        raise ValueError("no such table")

    with pytest.raises(AssertionError, match=r"__init__\(\) raised ValueError: no such table") as caught:
        Rehearsal(broken, 1, 0)
    assert "B 172.16.0.3:80 weight 0, 0 connections" in str(caught.value)
