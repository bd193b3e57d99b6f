"""Why a connection got its real server, and which hooks were asked: told while packets are replayed.

The law: nothing of this is in the way of a packet unless somebody asks. An explainer is a plugin like any other; what
it tells was found out before the decision, and finding out changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pluggy import HookImpl, Result

from nat_lb.connection import Connection
from nat_lb.flow import FlowKey
from nat_lb.hookspecs import hookimpl
from nat_lb.plugins import CORE, Registry
from nat_lb.scheduler import Scheduler
from nat_lb.service import RealServer, VirtualService

Tell = Callable[[str], None]

EXPLAINER = "nat-lb explainer"
DECISION = "nat_lb_schedule"
WRAPPER = "a wrapper of nat_lb_schedule"
LONGEST_VALUE = 80  # characters of one argument or answer


@dataclass
class _Decision:
    """What is known of the latest decision: its flow, why, and who chose whom."""

    key: bytes
    why: str
    chosen: RealServer | None = None
    by: str = CORE
    fault: str = ""


class Explainer:
    """A plugin that tells a line for each connection that is opened, and for each that nobody was chosen for."""

    def __init__(self, registry: Registry, tell: Tell) -> None:
        self._tell = tell
        self._latest: _Decision | None = None
        self._by, self._answer = CORE, cast("RealServer | None", None)
        registry.manager.register(self, EXPLAINER)
        registry.manager.add_hookcall_monitoring(self._before, lambda *_: None)

    @hookimpl(wrapper=True, tryfirst=True)
    def nat_lb_schedule(
        self, service: VirtualService, flow: FlowKey
    ) -> Generator[None, RealServer | None, RealServer | None]:
        """Ask why before the decision, and keep who made it."""
        latest = self._latest = _Decision(flow.to_bytes(), _reason(service, flow))
        self._by, self._answer = CORE, None
        try:
            latest.chosen = yield
        except Exception as error:
            latest.fault = f"{type(error).__name__}: {error}"
            fallback = service.fallback.scheduler
            latest.why = f'fallback "{fallback.name}" - {_explain(fallback, flow)}' if fallback is not None else ""
            if fallback is None:
                self._tell(f"{service}: {flow.source} dropped - the decision failed: {latest.fault}")
            raise
        latest.by = self._by if latest.chosen is self._answer else WRAPPER
        if latest.chosen is None:
            self._tell(f"{service}: {flow.source} refused - {latest.why}")
        return latest.chosen

    @hookimpl
    def nat_lb_connection_opened(self, connection: Connection) -> None:
        """Tell why."""
        latest, self._latest = self._latest, None
        self._tell(f"{connection.service}: {connection.client} to {connection.real} - {_why(connection, latest)}")

    def _before(self, hook: str, implementations: Sequence[HookImpl], arguments: Mapping[str, Any]) -> None:
        """Have every answer to the deciding hook pass through `_noted`; the list is pluggy's, made for this call."""
        if hook == DECISION:
            calls = cast("list[HookImpl]", implementations)
            calls[:] = [self._watched(call) for call in calls]

    def _watched(self, call: HookImpl) -> HookImpl:
        if call.hookwrapper or call.wrapper:
            return call
        noted = partial(self._noted, call.plugin_name.partition(":")[0], call.function)
        watched = HookImpl(call.plugin, call.plugin_name, call.function, call.opts)
        object.__setattr__(watched, "function", noted)  # not before: pluggy reads the arguments' names off the function
        return watched

    def _noted(self, owner: str, function: Callable[..., Any], *arguments: Any) -> Any:
        answer = function(*arguments)
        if answer is not None:
            self._by, self._answer = owner, answer
        return answer


def trace_hooks(registry: Registry, tell: Tell) -> None:
    """Tell a line for each hook call: its arguments, and the answer or the fault."""

    def after(
        outcome: Result[Any], hook: str, implementations: Sequence[HookImpl], arguments: Mapping[str, Any]
    ) -> None:
        asked = [call.plugin_name.partition(":")[0] for call in implementations if call.plugin_name != EXPLAINER]
        given = ", ".join(f"{name}={_shown(value)}" for name, value in arguments.items())
        if asked:
            tell(f"hook {hook}({given}) of {', '.join(reversed(asked))} -> {_answer(outcome)}")

    registry.manager.add_hookcall_monitoring(lambda *_: None, after)


def _answer(outcome: Result[Any]) -> str:
    if outcome.exception is not None:
        return f"{type(outcome.exception).__name__}: {outcome.exception}"
    answer = outcome.get_result()
    return f"[{', '.join(map(_shown, answer))}]" if isinstance(answer, list) else _shown(answer)


def _shown(value: object) -> str:
    """Return a value as text if that is short, else what it is."""
    text = str(value)
    return text if len(text) <= LONGEST_VALUE and " at 0x" not in text else f"({type(value).__name__})"


def _why(connection: Connection, latest: _Decision | None) -> str:
    service = connection.service
    if connection.parent is not None:
        parent = connection.parent
        return f"expected: announced on the connection of {parent.client} to {parent.virtual}"
    if latest is None or latest.key != connection.key:
        length = f"/{service.netmask}" if service.netmask < connection.client.address.max_prefixlen else ""
        return f"persistence: {connection.client.address}{length} was given it before"
    if latest.fault:
        return f"{latest.why}; the decision failed: {latest.fault}"
    if latest.chosen is not connection.real_server:
        fallback = service.fallback.scheduler
        return f'fallback "{fallback.name if fallback else ""}"; {latest.by} chose {latest.chosen}, which is not here'
    if latest.by == WRAPPER:
        return f"{WRAPPER} put it in the place of another answer"
    if latest.by != CORE:
        scheduler = service.scheduler
        return f'{latest.by} answered {DECISION}; scheduler "{scheduler.name if scheduler else ""}" was not asked'
    return latest.why


def _reason(service: VirtualService, flow: FlowKey) -> str:
    """Return what the service's scheduler, or its fallback while that decides, says before the decision."""
    scheduler = service.deciding
    if scheduler is None:
        return "there is no scheduler"
    if scheduler is service.scheduler:
        return f'scheduler "{scheduler.name}" - {_explain(scheduler, flow)}'
    late = service.scheduler.name if service.scheduler is not None else ""
    return f'fallback "{scheduler.name}" for "{late}", which was late too often - {_explain(scheduler, flow)}'


def _explain(scheduler: Scheduler, flow: FlowKey) -> str:
    try:
        return scheduler.explain(flow)
    except Exception as error:
        return f"its explain() failed: {type(error).__name__}: {error}"
