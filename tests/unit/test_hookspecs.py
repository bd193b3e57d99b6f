"""The hook specifications: typed, documented, and nothing but empty functions."""

from __future__ import annotations

import ast
import inspect

import pluggy

from nat_lb import hookspecs

HOOKS = [function for name, function in vars(hookspecs).items() if name.startswith("nat_lb_")]


def test_every_hook_has_types_and_a_docstring() -> None:
    for hook in HOOKS:
        signature = inspect.signature(hook)
        assert signature.return_annotation is not inspect.Signature.empty, hook
        assert all(p.annotation is not p.empty for p in signature.parameters.values()), hook
        assert (hook.__doc__ or "").strip().endswith("."), hook


def test_module_holds_empty_functions_only() -> None:
    tree = ast.parse(inspect.getsource(hookspecs))
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        assert len(function.body) == 1, function.name
        assert isinstance(function.body[0], ast.Expr), function.name
        assert function.name.startswith("nat_lb_"), function.name


def test_deciding_hooks_stop_at_the_first_answer() -> None:
    manager = pluggy.PluginManager("nat_lb")
    manager.add_hookspecs(hookspecs)
    first = {hook.__name__ for hook in HOOKS if getattr(manager.hook, hook.__name__).spec.opts["firstresult"]}
    assert first == {"nat_lb_make_fastpath", "nat_lb_schedule", "nat_lb_bind_helper"}
