"""Chunks of work over a Dask cluster, with retries, or one after the other in this process.

Enters: a function of a chunk and the chunks. Leaves: pairs (chunk, result) as they are ready; what a dead worker had in
hand is done again elsewhere. Scans, fits to pseudo-data and chains use it.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from jaxdark.errors import RequestError

C = TypeVar("C")
R = TypeVar("R")

_TIMEOUT = 10
_AHEAD = 2
"""Chunks a thread of the cluster has in hand or waiting, so that results do not pile up."""


class ClusterError(OSError):
    """The job failed on the cluster; results that were handed out before are good."""


def map_chunks(
    function: Callable[[C], R], chunks: Iterable[C], *, scheduler: Any = None, retries: int = 3
) -> Iterator[tuple[C, R]]:
    """Pairs (chunk, function(chunk)), on a cluster in the order in which they are ready.

    Chunks are taken as workers get free, so there may be any number of them.

    Args:
        function: of one chunk; on a cluster it travels by cloudpickle, once per worker, and runs in double precision.
        chunks: small things that say what to do, such as a number.
        scheduler: address of a Dask scheduler, or a Dask cluster or client; None is this process.
        retries: how often a chunk is tried again that raised an error. A chunk whose worker died is done again until
            Dask's distributed.scheduler.allowed-failures workers died of it.

    Raises:
        RequestError: `distributed` is not installed, or no scheduler answers.
        ClusterError: a chunk failed more often than that, or the scheduler is lost.
    """
    with connected(scheduler) as client:
        if client is not None:
            yield from _on_cluster(client, function, chunks, retries)
            return
        for chunk in chunks:
            yield chunk, function(chunk)


def threads() -> int | None:
    """Threads a task may use: those of the Dask worker it runs in, None outside of one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return get_worker().state.nthreads
    except ValueError:
        return None


@contextmanager
def connected(scheduler: Any) -> Iterator[Any]:
    """The client of a scheduler, as `map_chunks` takes it; None is handed on. Raises RequestError if none answers."""
    if scheduler is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise RequestError('a cluster needs the package distributed; pip install "jaxdark[scan]"') from None
    if isinstance(scheduler, Client):
        yield scheduler
        return
    try:
        client = Client(scheduler, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"expected the address of a Dask scheduler such as tcp://127.0.0.1:8786, got {scheduler}, where none "
            f"answers in {_TIMEOUT} s ({type(error).__name__}); start one with `dask scheduler`"
        ) from None
    with client:
        yield client


def _on_cluster(client: Any, function: Callable, chunks: Iterable, retries: int) -> Iterator[tuple[Any, Any]]:
    import cloudpickle
    from distributed import as_completed

    # A task of its own and not an argument of each: the scheduler holds it once, and makes it again if it is lost.
    payload = client.submit(bytes, cloudpickle.dumps(function), pure=False)
    waiting, running, completed = iter(chunks), {}, as_completed(loop=client.loop)

    def hand_out() -> None:
        wanted = _AHEAD * max(1, sum(client.nthreads().values()))
        while len(running) < wanted and (chunk := next(waiting, None)) is not None:
            future = client.submit(_applied, payload, chunk, pure=False, retries=retries)
            running[future] = chunk
            completed.add(future)

    try:
        hand_out()
        for future in completed:
            chunk = running.pop(future)
            yield chunk, _result(future, chunk)
            future.release()
            hand_out()
    finally:
        client.cancel(list(running), force=True)


def _result(future: Any, chunk: Any) -> Any:
    if future.status == "finished":
        return future.result()
    if future.status == "error":
        error = future.exception()
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ClusterError(f"chunk {chunk} failed on the cluster ({reason}); mend that and give the same command again")
    raise ClusterError("the Dask scheduler is lost; start it again and give the same command again")


def _applied(payload: bytes, chunk: Any) -> Any:
    return _restored(payload)(chunk)


@lru_cache(maxsize=1)
def _restored(payload: bytes) -> Callable:
    """The function in this worker: the same object for all chunks, so that what it compiled stays."""
    import cloudpickle

    from jaxdark.compile_cache import use_compile_cache
    from jaxdark.precision import enable_x64

    enable_x64()  # before any array is made: JAX would cut those of the function to single precision
    use_compile_cache()
    return cloudpickle.loads(payload)
