"""Programs compiled ahead of time and run on concrete values, also while JAX traces something else.

Constants such as tables and covariances are made on first use, and that may be inside a user's jit; a plain jitted call
would then become part of the user's program, and `jax.ensure_compile_time_eval` compiles every operation on its own.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jaxdark import kept
from jaxdark.repeats import merged

# These programs run a few times only: without LLVM's optimisations and, where XLA still has the choice, without fusion
# emitters they are ready in a third of the time; they take a tenth of a second at most and agree to rounding.
_QUICK = {"xla_backend_optimization_level": 0}
_QUICKER = _QUICK | {"xla_cpu_use_fusion_emitters": False}


class Ahead:
    """A function of concrete arrays that returns NumPy arrays, compiled once per structure of its arguments.

    Args:
        function: PyTrees of arrays -> PyTree of arrays.
        of: all that the function closes over beside the code of this package, plain values, arrays and records. If it
            is given, the traced program is kept for other processes beside JAX's compile cache, see `kept`.
    """

    def __init__(self, function: Callable, of: Any = None):
        self._function, self._of = function, of
        self._compiled: dict[Any, Callable] = {}

    def __call__(self, *args):
        """Value of the function at args, PyTrees of numbers and arrays."""
        args = jax.tree.map(np.asarray, args)
        leaves, structure = jax.tree.flatten(args)
        key = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._compiled:
            self._compiled[key] = self._program(args)
        return self._compiled[key](*leaves)

    def _program(self, args: tuple) -> Callable:
        """The compiled function of the leaves of args."""
        leaves = jax.tree.leaves(args)
        place = None if self._of is None else kept.place(self._of, args)
        program = None if place is None else kept.load(place)
        if program is None:
            program = _traced(self._function, args)
            if place is not None:
                program = kept.save(place, program, leaves)
        compiled = _compile(jax.jit(program.call).lower(program.constants, *leaves))
        return lambda *leaves: program.result([np.asarray(a) for a in compiled(program.constants, *leaves)])


def _traced(function: Callable, args: tuple) -> kept.Program:
    traced, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    traced = merged(traced)

    def call(constants, *leaves):
        return jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, constants))(*leaves)

    # As arguments the constants stay as they are: within a program XLA spends its time, and megabytes of the compile
    # cache, on what follows from them alone.
    return kept.Program(call, [np.asarray(value) for value in traced.consts], shape)


def _compile(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    try:
        return lowered.compile(compiler_options=_QUICKER)
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return lowered.compile(compiler_options=_QUICK)
