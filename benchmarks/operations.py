"""Floating-point operations and constants of a traced program.

Inputs: what `jax.make_jaxpr` gives. Outputs: counts that follow loops at their length, which the compiler's own do not.
"""

import math
from collections import Counter


def operations(jaxpr, varies: list[bool] | None = None) -> Counter:
    """Floating-point operations of a traced program that depend on its arguments, by kind."""
    known = dict(zip(jaxpr.invars, varies or [True] * len(jaxpr.invars), strict=True))
    total: Counter = Counter()
    for eqn in jaxpr.eqns:
        depends = [known.get(v, False) if not hasattr(v, "val") else False for v in eqn.invars]
        if not any(depends):
            continue
        known |= dict.fromkeys(eqn.outvars, True)
        for inner, times, given in _inside(eqn, depends):
            for kind, count in operations(inner, given).items():
                total[kind] += times * count
        total += _of(eqn)
    return total


def _inside(eqn, depends: list[bool]):
    """(program, how often it runs, which of its arguments vary) of an equation that holds programs."""
    name, params = eqn.primitive.name, eqn.params
    if name == "scan":
        carried = slice(params["num_consts"], params["num_consts"] + params["num_carry"])
        depends = [*depends]
        depends[carried] = [any(depends)] * params["num_carry"]
        return [(params["jaxpr"].jaxpr, params["length"], depends)]
    if name == "cond":
        return [(branch.jaxpr, 1, depends[1:]) for branch in params["branches"][:1]]
    found = [params[key] for key in ("jaxpr", "call_jaxpr", "body_jaxpr") if key in params]
    programs = [getattr(program, "jaxpr", program) for program in found]
    return [(p, 1, depends if len(depends) == len(p.invars) else None) for p in programs]


_SPECIAL = {"log", "log1p", "exp", "exp2", "expm1", "sqrt", "rsqrt", "cbrt", "pow", "atan2", "sin", "cos", "tan"}
_SPECIAL |= {"tanh", "logistic", "erf", "erf_inv", "lgamma", "asin", "acos", "atan"}
_PLAIN = {"add", "sub", "mul", "div", "neg", "max", "min", "abs", "integer_pow", "square", "clamp", "add_any", "sign"}
_REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "cumsum", "cumprod"}


def _of(eqn) -> Counter:
    """Operations of one equation; a complex product is six real ones, a sum two."""
    name, out = eqn.primitive.name, eqn.outvars[0].aval
    if out.dtype.kind not in "fc":
        return Counter()
    is_complex = out.dtype.kind == "c"
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        length = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
        return Counter(contractions=(8 if is_complex else 2) * out.size * length)
    if name in _SPECIAL:
        return Counter(special=out.size)
    if name in _REDUCTIONS:
        return Counter(elementwise=eqn.invars[0].aval.size * (2 if is_complex else 1))
    if name in _PLAIN:
        return Counter(elementwise=out.size * ({"mul": 6, "div": 10}.get(name, 2) if is_complex else 1))
    return Counter()


def constants(jaxpr, consts=()) -> dict[int, int]:
    """Bytes of the arrays a traced program holds, each once, by identity."""
    literals = [v.val for eqn in jaxpr.eqns for v in eqn.invars if hasattr(v, "val")]
    found = {id(c): c.nbytes for c in (*consts, *literals) if getattr(c, "nbytes", 0) > 64}
    for eqn in jaxpr.eqns:
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                if hasattr(inner, "jaxpr"):
                    found |= constants(inner.jaxpr, inner.consts)
                elif hasattr(inner, "eqns"):
                    found |= constants(inner)
    return found
