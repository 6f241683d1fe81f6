"""Programs compiled ahead of time and run on concrete values, also while JAX traces something else.

Constants such as tables and covariances are made on first use, and that may be inside a user's jit; a plain jitted call
would then become part of the user's program, and `jax.ensure_compile_time_eval` compiles every operation on its own.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jaxdark.compute import export_cache
from jaxdark.precision import usual_rules

# XLA's newer CPU emitters take twice as long to compile these programs, which run no faster. Where a program runs a few
# times only, LLVM's optimisations are left out too: it is ready in another third of the time, runs up to six times as
# long and agrees to rounding.
OLD_EMITTERS = {"xla_cpu_use_fusion_emitters": False}
FAST_COMPILE = OLD_EMITTERS | {"xla_backend_optimization_level": 0}


def compiler_options(*, quick: bool = False) -> dict[str, Any]:
    """Options for XLA, those that the installed version has, with which programs are ready soon.

    Args:
        quick: for a program that runs a few times only.
    """
    return {} if jax.config.jax_disable_jit else _options(quick)


@cache
def _options(quick: bool) -> dict[str, Any]:
    wanted = FAST_COMPILE if quick else OLD_EMITTERS
    return {name: value for name, value in wanted.items() if _is_known(name, value)}


def _is_known(name: str, value: Any) -> bool:
    try:
        jax.jit(lambda x: x).lower(0.0).compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return False
    return True


class AotFunction:
    """A function of concrete arrays that returns NumPy arrays, compiled once per structure of its arguments.

    Args:
        function: PyTrees of arrays -> PyTree of arrays.
        closure: all that the function closes over beside the code of this package: plain values, arrays and records. If
            it is given, the traced program is stored for other processes, see `export_cache`; the result of the
            function must then be made of tuples, lists and dicts.
    """

    def __init__(self, function: Callable, closure: Any = None):
        self._function, self._closure = function, closure
        self._compiled: dict[Any, Callable] = {}

    @usual_rules()
    def __call__(self, *args):
        """Value of the function at args, PyTrees of numbers and arrays."""
        args = jax.tree.map(np.asarray, args)
        if jax.config.jax_disable_jit:  # who debugs a function wants to see its own values
            return jax.tree.map(np.asarray, self._function(*args))
        leaves, structure = jax.tree.flatten(args)
        key = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._compiled:
            self._compiled[key] = self._program(args)
        return jax.tree.map(np.asarray, self._compiled[key](*leaves))

    def _program(self, args: tuple) -> Callable:
        """The compiled function of the leaves of args."""
        leaves = jax.tree.leaves(args)
        path = None if self._closure is None else export_cache.cache_path(self._closure, args)
        program = None if path is None else export_cache.load(path)
        if program is None:
            program = _traced(self._function, args)
            if path is not None:
                program = export_cache.save(path, program, leaves)
        compiled = jax.jit(program.call).lower(program.constants, *leaves).compile(compiler_options(quick=True))
        return partial(compiled, program.constants)


def _traced(function: Callable, args: tuple) -> export_cache.Program:
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    structure = jax.tree.structure(shapes)

    def call(constants, *leaves):
        return structure.unflatten(jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, constants))(*leaves))

    # As arguments the constants stay as they are: within a program XLA spends its time, and megabytes of the compile
    # cache, on what follows from them alone.
    return export_cache.Program(call, [np.asarray(value) for value in traced.consts])
