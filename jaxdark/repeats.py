"""Traced programs without their repetitions: what is computed twice from the same values is computed once.

Enters: a function of arrays. Leaves: the same function with a shorter trace. XLA finds repetitions too, but only after
it has written out every call of a function traced once: for all constraints together that is seven times as much.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, Var, jaxpr_as_fun


def without_repeats(function: Callable) -> Callable:
    """The function of PyTrees of arrays whose trace has no repetitions; values agree to rounding."""

    def shorter(*args):
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        return jax.tree.unflatten(jax.tree.structure(shape), jaxpr_as_fun(merged(traced))(*jax.tree.leaves(args)))

    return shorter


def merged(traced: ClosedJaxpr) -> ClosedJaxpr:
    """The same program in which equations without effects that have the same operands and parameters are one."""
    return _merged(traced, {})


def _merged(traced: ClosedJaxpr, done: dict[int, tuple[ClosedJaxpr, ClosedJaxpr]]) -> ClosedJaxpr:
    """Arguments of `merged`, and programs merged already: a function that is traced once is one object."""
    if id(traced) in done:
        return done[id(traced)][1]
    first_of: dict[Any, Any] = {}
    constants: dict[int, Any] = {}
    for variable, value in zip(traced.jaxpr.constvars, traced.consts, strict=True):
        first_of[variable] = constants.setdefault(id(value), variable)
    place, equations = {}, []

    def first(operand):
        return operand if isinstance(operand, Literal) else first_of.get(operand, operand)

    for equation in traced.jaxpr.eqns:
        params = {name: _inner(value, done) for name, value in equation.params.items()}
        operands = [first(operand) for operand in equation.invars]
        key = equation.primitive, tuple(map(_operand, operands)), tuple(map(_parameter, sorted(params.items())))
        if equation.effects or key not in place:
            place[key] = len(equations)
            equations.append(equation.replace(invars=operands, params=params))
            continue
        earlier = equations[place[key]]
        # An output that the earlier one drops gets the name that the later one gives it.
        outvars = [a if type(a) is Var else b for a, b in zip(earlier.outvars, equation.outvars, strict=True)]
        equations[place[key]] = earlier.replace(outvars=outvars)
        first_of |= {b: a for a, b in zip(outvars, equation.outvars, strict=True) if a is not b}
    outvars = [first(variable) for variable in traced.jaxpr.outvars]
    shorter = ClosedJaxpr(traced.jaxpr.replace(eqns=equations, outvars=outvars), traced.consts)
    done[id(traced)] = traced, shorter
    return shorter


def _inner(value: Any, done) -> Any:
    """A parameter of an equation with the programs in it merged."""
    if isinstance(value, ClosedJaxpr):
        return _merged(value, done)
    if type(value) is tuple and any(isinstance(part, ClosedJaxpr) for part in value):
        return tuple(_inner(part, done) for part in value)
    return value


def _operand(operand: Any) -> Any:
    """Key of an operand: a variable is itself, a number its type and bits (0.0 and -0.0 are two numbers)."""
    if not isinstance(operand, Literal):
        return operand
    return str(operand.aval), np.asarray(operand.val).tobytes()


def _parameter(item: tuple[str, Any]) -> Any:
    """Key of a named parameter, which is itself or, where it has no hash, this very object."""
    name, value = item
    if isinstance(value, ClosedJaxpr):
        return name, id(value)
    try:
        hash(value)
    except TypeError:
        return name, id(value)
    return name, type(value), value
