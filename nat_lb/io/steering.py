"""Steering: netfilter rules that lead the right packets to the queue, and away again at the end.

The law: every change of a table is one transaction, so there is no moment with half of the rules; only what carries our
chain names is ever touched; and a table that holds rules of a director that is alive is left alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator

from nat_lb.errors import SystemFault
from nat_lb.io.devices import largest_mtu
from nat_lb.io.nfqueue import LARGE
from nat_lb.io.queues import bound_queues
from nat_lb.io.rules import IPV4, IPV6, TABLES, Family, Plan, installation, queues_in, removal

Run = Callable[[list[str], str], str]
"""Runs a program with this standard input and returns its standard output; raises `SystemFault` when it fails."""

_WAIT = "5"  # seconds for iptables' own lock, which only its legacy backend takes


def run_program(command: list[str], text: str) -> str:
    """Run iptables-save or iptables-restore; raises `SystemFault` with its words, the line it means and the remedy."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        raise SystemFault(
            f"steering: the program `{command[0]}` is not installed. Debian's package: iptables"
        ) from None
    except subprocess.TimeoutExpired:
        raise SystemFault(f"steering: `{' '.join(command)}` took more than 30 s. Who holds its lock?") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise SystemFault(
            f"steering: `{' '.join(command)}` failed: {said}. Run nat-lb as root, on a kernel with the "
            "NFQUEUE target and the matches comment, icmp, length, mark and socket "
            "(CONFIG_NETFILTER_XT_TARGET_NFQUEUE, CONFIG_NETFILTER_XT_MATCH_…, CONFIG_NFT_COMPAT)."
        )
    return done.stdout


class Steering:
    """The rules for these addresses (IPv4 and IPv6 mixed), leading to the queues `queue` and `queue + 1`.

    `protocols` are iptables' names or numbers; ICMP errors are always steered.  `run` executes iptables' programs,
    `bound` says which queues somebody listens to.  Every method raises `SystemFault` when a table cannot be read or
    changed.
    """

    def __init__(
        self,
        vips: Iterable[str],
        real_servers: Iterable[str],
        queue: int,
        *,
        protocols: Iterable[str] = ("tcp", "udp"),
        run: Run = run_program,
        bound: Callable[[], Iterable[int]] = bound_queues,
        mtu: Callable[[], int] = largest_mtu,
    ) -> None:
        self._vips = tuple(vips)
        self._real_servers = tuple(real_servers)
        self._queue = queue
        self._protocols = tuple(protocols)
        self._run = run
        self._bound = bound
        self._mtu = mtu

    def install(self) -> None:
        """Put the rules in place of whatever an earlier director left; packets are queued from then on.

        Called after the queues are bound.  Raises `SystemFault`, having changed nothing, when the rules of another
        director, which is alive, are there.
        """
        self.refuse_rival(own={self._queue, self._queue + 1})
        for family in (IPV4, IPV6):
            self._install(family)

    def update(self, vips: Iterable[str], real_servers: Iterable[str]) -> None:
        """Replace the addresses; no packet of those that stay passes unqueued meanwhile."""
        self._vips, self._real_servers = tuple(vips), tuple(real_servers)
        for family in (IPV4, IPV6):
            self._install(family)

    def remove(self) -> None:
        """Take all rules away; what is not there is not an error."""
        for family in (IPV4, IPV6):
            self._remove(family)

    def remove_leftovers(self) -> None:
        """Take away what a director that was killed left behind.

        Raises `SystemFault` when the rules are those of a director that is alive.
        """
        self.refuse_rival()
        self.remove()

    def refuse_rival(self, own: Collection[int] = ()) -> None:
        """Raise `SystemFault` if rules of ours lead to a queue that somebody else, so not one of `own`, listens to.

        Called at start, before the queues are bound: the rules that a director left which was killed keep packets from
        the stack until `install` replaces them.
        """
        named = {queue for family in (IPV4, IPV6) for _, saved in self._saved(family) for queue in queues_in(saved)}
        alive = sorted(named.difference(own).intersection(self._bound()))
        if alive:
            raise SystemFault(
                f"steering: another nat-lb is running in this network namespace, on queue {alive[0]}. Stop it first: "
                "two directors would take each other's packets."
            )

    def _install(self, family: Family) -> None:
        plan = self._plan(family)
        if not plan.vips and not plan.real_servers:
            self._remove(family)
            return
        for table, saved in self._saved(family):
            self._restore(family, installation(family, table, plan, saved))

    def _remove(self, family: Family) -> None:
        for table, saved in self._saved(family):
            text = removal(table, saved)
            if text:
                self._restore(family, text)

    def _plan(self, family: Family) -> Plan:
        def mine(addresses: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(dict.fromkeys(address for address in addresses if (":" in address) == (family is IPV6)))

        return Plan(mine(self._vips), mine(self._real_servers), self._queue, self._protocols, self._mtu() > LARGE)

    def _saved(self, family: Family) -> Iterator[tuple[str, str]]:
        for table in TABLES:
            yield table, self._run([f"{family.program}-save", "-t", table], "")

    def _restore(self, family: Family, text: str) -> None:
        self._run([f"{family.program}-restore", "--noflush", "-w", _WAIT], text)
