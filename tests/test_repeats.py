"""Repetitions leave a trace, and nothing else of it changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdark.repeats import merged, without_repeats

X = np.array([0.3, 1.2, -0.7])
_inner = jax.jit(lambda x: (jnp.sin(x) + jnp.sin(x), jnp.cos(x)))


def primitives(function, *args):
    """Names of all equations of the merged trace, those of inner programs too."""

    def inside(jaxpr):
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            for value in equation.params.values():
                for part in value if isinstance(value, tuple) else (value,):
                    yield from inside(part.jaxpr) if hasattr(part, "jaxpr") else ()

    return list(inside(merged(jax.make_jaxpr(function)(*args)).jaxpr))


def twice_traced(x):
    """The first call drops what the second one wants."""
    return _inner(x)[0] + _inner(1.0 * x)[0] + _inner(x)[1]


def test_calls_of_a_function_traced_once_are_one_and_shorter_inside():
    names = primitives(twice_traced, X)
    assert names.count("sin") == 2  # of x and of 1.0 x, each once
    assert names.count("jit") + names.count("pjit") == 2


@pytest.mark.parametrize(
    "function",
    [
        twice_traced,
        lambda x: {"a": [x * 2.0, x * 2.0], "b": (x * 2.0, jnp.zeros(())), "c": x},
        lambda x: jnp.stack([jnp.copysign(1.0, x * 0.0), jnp.copysign(1.0, x * -0.0)]),
        lambda x: jax.lax.scan(lambda c, y: (c + jnp.exp(y) + jnp.exp(y), c), 0.0, x),
        lambda x: jax.lax.cond(x[0] > 0, lambda: jnp.sin(x) + jnp.sin(x), lambda: x),
        lambda x: jax.lax.while_loop(lambda c: jnp.sum(c) + jnp.sum(c) < 9, lambda c: c + 1 + (c + 1), x),
        lambda x: x[:, None] @ X[None] + X,
        lambda x: jax.scipy.linalg.solve(jnp.eye(3) + x[:, None] * x, x, assume_a="pos"),
    ],
)
def test_values_and_structure_stay(function):
    expected, found = jax.jit(function)(X), jax.jit(without_repeats(function))(X)
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), expected, found)


def test_zeros_of_either_sign_are_different_numbers():
    assert primitives(lambda x: (x * 0.0, x * -0.0), X).count("mul") == 2


def test_numbers_of_different_type_are_different():
    names = primitives(lambda x: (x.astype(jnp.float32), x.astype(jnp.int32), x.astype(jnp.int32)), X)
    assert names.count("convert_element_type") == 2


def test_effects_are_kept():
    seen = []

    def function(x):
        for _ in range(2):
            jax.debug.callback(seen.append, x[0])
        return x

    jax.block_until_ready(jax.jit(without_repeats(function))(X))
    jax.effects_barrier()
    assert len(seen) == 2


def test_derivatives_pass_through():
    slope = jax.grad(lambda x: without_repeats(twice_traced)(x).sum())(X)
    np.testing.assert_allclose(slope, jax.grad(lambda x: twice_traced(x).sum())(X), rtol=1e-14)


def test_what_another_trace_is_at_work_on_may_be_closed_over():
    def outer(y):
        return without_repeats(lambda x: x * y + x * y)(X)

    np.testing.assert_array_equal(jax.jit(outer)(2.0), 4.0 * X)
