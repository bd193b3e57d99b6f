"""Everything a plugin may import, and nothing else.

A plugin is a module or package with `hookimpl`-marked functions (see `nat_lb.hookspecs` for each hook) that its
distribution names in the entry-point group `nat_lb`.
"""

from __future__ import annotations

from nat_lb.config import Config, Options
from nat_lb.connection import Connection
from nat_lb.flow import Address, Direction, Endpoint, FlowKey
from nat_lb.hashing import FlowHash
from nat_lb.helper import Edit, ExpectationRefused, Helper, Message, Peers, Refusal
from nat_lb.hookspecs import hookimpl
from nat_lb.recent import Recent
from nat_lb.scheduler import Cycle, HashTable, Heaviest, LeastLoad, Load, Plan, Scheduler, ServiceView
from nat_lb.service import RealServer, VirtualService
from nat_lb.tracker import Tracker

__all__ = [
    "Address",
    "Config",
    "Connection",
    "Cycle",
    "Direction",
    "Edit",
    "Endpoint",
    "ExpectationRefused",
    "FlowHash",
    "FlowKey",
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
    "Tracker",
    "VirtualService",
    "hookimpl",
]
