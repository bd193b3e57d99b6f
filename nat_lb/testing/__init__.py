"""The public kit for those who write plugins and helpers: what the core is tested with, and its own plugins too.

The suites that prove a plugin are in `nat_lb.testing.conformance`, the scenario player is `nat_lb.testing.scenario`.
The live lab is `nat_lb.testing.lab`, real servers to put into it are `nat_lb.testing.servers`. Needs the extra
`nat-lb[testing]`.
"""
