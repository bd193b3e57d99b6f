"""Failover: every new connection goes to the usable real server of the highest weight."""

from nat_lb.api import FlowKey, RealServer, Scheduler, hookimpl


class Failover(Scheduler):
    name = "failover"

    def schedule(self, flow: FlowKey) -> RealServer | None:
        usable = [server for server in self.service.real_servers if server.usable]
        return max(usable, key=lambda server: server.weight, default=None)


@hookimpl
def nat_lb_register_schedulers() -> list[type[Scheduler]]:
    return [Failover]
