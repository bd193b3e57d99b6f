"""A scheduler under all that can happen between any two of its decisions, as a Hypothesis state machine.

The law: after every step, and in whatever order the steps come, the scheduler answers with a server that may be
chosen. What Hypothesis prints on top of the journal is the shortest sequence of steps that it found.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from nat_lb.testing.rehearsal import Make, Rehearsal, flow

MOST_SERVERS = 6
WEIGHTS = st.sampled_from([0, 1, 1, 2, 3, 5, 10, 100])
WHICH = st.integers(0, MOST_SERVERS - 1)


class SchedulerMachine(RuleBasedStateMachine):
    """Steps that a director, its operator and its clients can make; `may_refuse` allows None while a server is usable.

    With `by_plan` a twin with a service of its own goes through the same steps and decides by its plan alone.
    """

    def __init__(self, make: Make, *, may_refuse: bool, by_plan: bool = False) -> None:
        super().__init__()
        self.code = Rehearsal(make)
        self.twin = Rehearsal(make) if by_plan else None
        self.may_refuse = may_refuse

    @property
    def rehearsals(self) -> list[Rehearsal]:
        """The scheduler and, if there is one, its twin."""
        return [self.code] if self.twin is None else [self.code, self.twin]

    def has_room(self) -> bool:
        """Whether another server may be added."""
        return len(self.code.servers) < MOST_SERVERS

    def has_servers(self) -> bool:
        """Whether there is any real server."""
        return bool(self.code.servers)

    @precondition(has_room)
    @rule(weight=WEIGHTS)
    def add_server(self, weight: int) -> None:
        """The operator adds a real server."""
        for rehearsal in self.rehearsals:
            rehearsal.add(weight)

    @precondition(has_servers)
    @rule(which=WHICH)
    def remove_server(self, which: int) -> None:
        """The operator removes one."""
        for rehearsal in self.rehearsals:
            rehearsal.remove(which % len(rehearsal.servers))

    @precondition(has_servers)
    @rule(which=WHICH, weight=WEIGHTS)
    def reweigh_server(self, which: int, weight: int) -> None:
        """The operator gives one another weight."""
        for rehearsal in self.rehearsals:
            rehearsal.reweigh(which % len(rehearsal.servers), weight)

    @precondition(has_servers)
    @rule(which=WHICH, connections=st.integers(0, 3))
    def limit_server(self, which: int, connections: int) -> None:
        """The operator sets a threshold."""
        for rehearsal in self.rehearsals:
            rehearsal.limit(which % len(rehearsal.servers), connections)

    @precondition(has_servers)
    @rule(which=WHICH)
    def overload_server(self, which: int) -> None:
        """A real server reaches its threshold."""
        for rehearsal in self.rehearsals:
            rehearsal.overload(which % len(rehearsal.servers))

    @precondition(has_servers)
    @rule(which=WHICH)
    def close_connection(self, which: int) -> None:
        """A client leaves."""
        for rehearsal in self.rehearsals:
            rehearsal.close(which % len(rehearsal.servers))

    @rule(seconds=st.sampled_from([1.0, 400.0, 100_000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        for rehearsal in self.rehearsals:
            rehearsal.wait(seconds)

    @rule(client=st.integers(0, 20), port=st.integers(1024, 1030), times=st.integers(1, 4))
    def connect(self, client: int, port: int, times: int) -> None:
        """A client opens connections."""
        for again in range(times):
            self._connect(client, port + again)

    def _connect(self, client: int, port: int) -> None:
        asked = flow(client, port)
        planned = self._planned(client, port)
        chosen = self.code.connect(asked)
        if chosen is None and self.code.usable and not self.may_refuse:
            self.code.blame("chose None although a real server is usable", asked)
        if planned is not None and planned != self.code.name(chosen):
            self.code.blame(
                f"contradicts its own plan: schedule() chose {self.code.name(chosen)}, plan().choose() {planned}",
                asked,
                "expected: the same decision, because a fast path carries out the plan without asking schedule()",
            )

    def _planned(self, client: int, port: int) -> str | None:
        """Return the name of the server that the twin's plan chooses; None if there is no twin or it has no plan."""
        if self.twin is None:
            return None
        plan = self.twin.plan
        if plan is None:
            self.twin.connect(flow(client, port))
            return None
        chosen = plan.choose(flow(client, port))
        self.twin.judge(flow(client, port), chosen)
        if chosen is not None:
            self.twin.open(chosen)
        return self.twin.name(chosen)


def machine(make: Make, *, may_refuse: bool, by_plan: bool = False) -> type[SchedulerMachine]:
    """Return the state machine of one scheduler, for `run_state_machine_as_test`."""

    class Steps(SchedulerMachine):
        def __init__(self) -> None:
            super().__init__(make, may_refuse=may_refuse, by_plan=by_plan)

    return Steps
