"""The configuration: TOML in, validated frozen objects out, or every objection at once.

The law: nothing past this package sees TOML.  A file either becomes a whole `Config`, or one `ConfigError` whose
problems each say which file, where in it, what was found and what to write instead.

    load.py       `load` a file, `parse` a text: structure, types, ranges, contradictions
    names.py      `check_names`: schedulers, helpers, protocols and timeouts that no installed plugin provides
    options.py    `Options` and `parse_options`: how a plugin validates its own table in the same style
    model.py      the tables and keys, with their defaults and descriptions; schema.py publishes them as JSON Schema
    document.py   the only use of the TOML parser; syntax.py says what it objected to
    relations.py  contradictions between keys; address.py: addresses as written
    problems.py   the validator's errors as problems; wording.py, fields.py and phrases.py find the words
"""

from __future__ import annotations

from nat_lb.config.address import IPAddress
from nat_lb.config.load import load, parse
from nat_lb.config.model import Config, DirectorConfig, PluginsConfig, RealServerConfig, ServiceConfig
from nat_lb.config.names import check_names
from nat_lb.config.options import Options, parse_options
from nat_lb.config.schema import json_schema

__all__ = [
    "Config",
    "DirectorConfig",
    "IPAddress",
    "Options",
    "PluginsConfig",
    "RealServerConfig",
    "ServiceConfig",
    "check_names",
    "json_schema",
    "load",
    "parse",
    "parse_options",
]
