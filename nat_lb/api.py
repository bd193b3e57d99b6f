"""Everything a plugin may import, and nothing else.

A plugin is a module or package with `hookimpl`-marked functions (see `nat_lb.hookspecs` for each hook) that its
distribution names in the entry-point group `nat_lb`.
"""

from __future__ import annotations

from nat_lb.config import Config, Options
from nat_lb.connection import Connection
from nat_lb.errors import SystemFault
from nat_lb.fastpath import Carried, CarriedEvent, FastPath, Happening
from nat_lb.flow import Address, Direction, Endpoint, FlowKey
from nat_lb.hashing import FlowHash
from nat_lb.helper import Edit, ExpectationRefused, Helper, Message, Peers, Refusal
from nat_lb.hookspecs import hookimpl
from nat_lb.recent import Recent
from nat_lb.scheduler import Cycle, HashTable, Heaviest, LeastLoad, Load, Plan, Scheduler, ServiceView
from nat_lb.service import CarriedLoad, RealServer, VirtualService
from nat_lb.tracker import Tracker

__all__ = [
    "Address",
    "Carried",
    "CarriedEvent",
    "CarriedLoad",
    "Config",
    "Connection",
    "Cycle",
    "Direction",
    "Edit",
    "Endpoint",
    "ExpectationRefused",
    "FastPath",
    "FlowHash",
    "FlowKey",
    "Happening",
    "HashTable",
    "Heaviest",
    "Helper",
    "LeastLoad",
    "Load",
    "Message",
    "Options",
    "Peers",
    "Plan",
    "RealServer",
    "Recent",
    "Refusal",
    "Scheduler",
    "ServiceView",
    "SystemFault",
    "Tracker",
    "VirtualService",
    "hookimpl",
]
