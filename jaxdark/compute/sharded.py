"""Functions of a point mapped over many points on several devices, of one process or of many.

Enters: a function of one point. Leaves: the same of an (n, d) array, every device with its own rows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdark.sampling.importance import batched

_ACCELERATOR_POINTS = 2**16


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
