"""Functions of a point mapped over many points: on the threads of a processor, or on several devices or processes.

Inputs: a function of one point. Outputs: the same of an (n, d) array, in batches of one size, so that one compilation
serves any number of points and the result does not depend on how many threads or devices there are.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from jaxdark.compute.aot import compiler_options
from jaxdark.precision import usual_rules

HostFunction = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]

_ACCELERATOR_POINTS = 2**16


_BLOCKS = 8
"""Batches in one call of a compiled program, so that most of the time is spent in it."""


def batched(
    function: Callable, batch: int | None = None, workers: int | None = None, *, quick: bool = False
) -> Callable:
    """Host function that maps `function` over the first axis of its last argument in batches of one fixed size.

    One compilation serves every number of points, memory is that of a few batches per worker, and the result does not
    depend on the number of threads. A function that calls LAPACK on batches of more than a million n^3 stands still:
    XLA shares such out among its threads, each of which waits in a program for the others.

    Args:
        function: (*leading, point) -> pytree of arrays; the leading arguments are shared by all points, and a point is
            an array or a pytree of such.
        batch: points at a time; by default what fits a core's cache, 64, or on an accelerator 65536.
        workers: threads, by default one per processor that this process may use.
        quick: the program runs a few times only, see `aot.compiler_options`.
    """

    def blocks(count, leading, points):
        """The first `count` of several batches, one after the other."""

        def of_block(k):
            return jax.vmap(lambda point: function(*leading, point))(jax.tree.map(lambda a: a[k], points))

        empty = jax.tree.map(lambda a: jnp.zeros((_BLOCKS, *a.shape), a.dtype), jax.eval_shape(of_block, 0))
        put = lambda k, done: jax.tree.map(lambda all_, one: all_.at[k].set(one), done, of_block(k))  # noqa: E731
        return jax.lax.fori_loop(0, count, put, empty)

    @cache
    def program():
        return jax.jit(blocks, compiler_options=compiler_options(quick=quick))

    def apply(*args):
        compiled, threads = program(), workers or processors()
        *leading, points = args
        size = batch or (64 if jax.default_backend() == "cpu" else _ACCELERATOR_POINTS)
        n = len(jax.tree.leaves(points)[0])
        # Few batches are shared among the threads, not all left to one.
        count = min(_BLOCKS, -(-n // (size * threads)))

        @usual_rules(in_thread=True)
        def call(start: int):
            here = min(count, -(-(n - start) // size))

            def laid_out(a):
                part = np.asarray(a[start : start + here * size])
                # The last point is repeated to fill the batches.
                filled = np.concatenate([part, np.repeat(part[-1:], _BLOCKS * size - len(part), axis=0)])
                return filled.reshape(_BLOCKS, size, *part.shape[1:])

            result = jax.device_get(compiled(here, leading, jax.tree.map(laid_out, points)))
            return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[: min(here * size, n - start)], result)

        with ThreadPoolExecutor(threads) as pool:
            parts = pool.map(call, range(0, n, count * size))
            return jax.tree.map(lambda *a: np.concatenate(a), *parts)

    return apply


def processors() -> int:
    """How many processors this process may use, which taskset, a batch system or a container may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mapped(function: Callable, batch: int | None = None, workers: int | None = None) -> Callable:
    """`batched` with threads where this process has one device, `sharded` over its devices where it has several.

    Threads on one CPU device are the faster of the two on a CPU, so nothing is sharded unless the user asked JAX for
    several host devices.
    """
    devices = jax.local_devices()
    return batched(function, batch, workers) if len(devices) == 1 else sharded(function, batch, devices)


def sharded(function: Callable, batch: int | None = None, devices: Sequence[Any] | None = None) -> Callable:
    """Function that maps `function` over the first axis of its last argument, split over devices with jax.sharding.

    Every device runs the program that `batched` runs, on `batch` of its own rows at a time, so that the result does
    not depend on the number of devices of one kind. Under `jax.distributed` every process calls it with the same
    arguments and gets the whole result.

    Args:
        function: (*leading, point) -> pytree of arrays; the leading arguments are shared by all points.
        batch: points per device and call; by default 1024 on CPUs, and 65536 over all devices on accelerators.
        devices: all devices of all processes unless given.
    """
    devices = jax.devices() if devices is None else list(devices)
    cpu = devices[0].platform == "cpu"
    size = len(devices) * (batch or (1024 if cpu else max(1024, _ACCELERATOR_POINTS // len(devices))))
    mesh = Mesh(np.array(devices), ("points",))
    rows, whole = PartitionSpec("points"), PartitionSpec()
    # A process can read only what lies on its own devices, so several processes all get everything.
    many_processes = len({device.process_index for device in devices}) > 1
    placed = NamedSharding(mesh, whole if many_processes else rows)
    programs: dict[int, Callable] = {}

    def compiled(n_leading: int) -> Callable:
        if n_leading not in programs:
            mapped_rows = jax.shard_map(
                lambda *args: jax.vmap(lambda point: function(*args[:-1], point))(args[-1]),
                mesh=mesh,
                in_specs=(*[whole] * n_leading, rows),
                out_specs=rows,
                check_vma=False,
            )
            programs[n_leading] = jax.jit(mapped_rows, out_shardings=placed)
        return programs[n_leading]

    def on_devices(array: Any, spec: PartitionSpec) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, NamedSharding(mesh, spec), lambda index: array[index])

    def apply(*args):
        *leading, points = args
        program = compiled(len(leading))
        shared = [jax.tree.map(lambda leaf: on_devices(leaf, whole), tree) for tree in leading]
        padded = np.concatenate([points, np.repeat(points[-1:], -len(points) % size, axis=0)])
        chunks = np.split(padded, len(padded) // size)
        parts = [program(*shared, on_devices(chunk, rows)) for chunk in chunks]
        return jax.tree.map(lambda *a: np.concatenate(a)[: len(points)], *jax.device_get(parts))

    return apply
