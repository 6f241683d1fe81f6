"""Chunks of work over a Dask cluster, with retries, or one after the other in this process.

Inputs: a function of a chunk and the chunks. Outputs: pairs (chunk, result) as they are ready; what a dead worker had
in hand is done again elsewhere. Scans, fits to pseudo-data and chains use it.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

from jaxdark._version import versions
from jaxdark.errors import RequestError

C = TypeVar("C")
R = TypeVar("R")

_TIMEOUT = 10
_LOST = "the Dask scheduler is lost; start it again and give the same command again"
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
        RequestError: `distributed` is not installed, no scheduler answers, or a worker has other versions or another
            code, whose chunks would not be those of this process.
        ClusterError: a chunk failed more often than that, or the scheduler is lost.
    """
    with connected(scheduler) as client:
        if client is not None:
            with _lost_is_said():
                _check_workers(client)
                yield from _on_cluster(client, function, chunks, retries)
            return
        for chunk in chunks:
            yield chunk, function(chunk)


class OtherWorkerError(RuntimeError):
    """A worker has other versions or another code."""


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


def own_versions() -> dict[str, str]:
    """What must be the same in all workers: this package with its code and data, libraries, Python."""
    return versions("numpyro", "optax") | {"python": ".".join(map(str, sys.version_info[:2]))}


def _check_workers(client: Any) -> None:
    """Refuse a cluster with a worker that would compute something else, before it gets any work."""
    found = client.run(own_versions, on_error="return")
    for worker, there in found.items():
        if isinstance(there, OSError):  # it has just gone, and gets no work
            continue
        _refuse_other(worker, there if isinstance(there, dict) else {"jaxdark": "none or an older one"}, own_versions())


def _refuse_other(worker: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    other = [f"{name} {there.get(name, 'none')} (here {here[name]})" for name in here if there.get(name) != here[name]]
    if other:
        raise RequestError(
            f"expected workers that compute what this process does, got {worker} with {', '.join(other)}; install the "
            "same there, or stop that worker"
        )


def _on_cluster(client: Any, function: Callable, chunks: Iterable, retries: int) -> Iterator[tuple[Any, Any]]:
    import cloudpickle
    from distributed import as_completed

    # A task of its own and not an argument of each: the scheduler holds it once, and makes it again if it is lost.
    payload, here = client.submit(bytes, cloudpickle.dumps(function), pure=False), own_versions()
    waiting, running, completed = iter(chunks), {}, as_completed(loop=client.loop)

    def hand_out() -> None:
        wanted = _AHEAD * max(1, sum(client.nthreads().values()))
        while len(running) < wanted and (chunk := next(waiting, None)) is not None:
            future = client.submit(_applied, payload, here, chunk, pure=False, retries=retries)
            running[future] = chunk
            completed.add(future)

    try:
        hand_out()
        for future in completed:
            if future.status in ("pending", "lost"):  # its worker died with the result before it was looked at
                completed.add(future)
                continue
            chunk = running.pop(future)
            yield chunk, _result(future, chunk)
            future.release()
            hand_out()
    finally:
        with suppress(OSError, RuntimeError):  # nobody is left who could be told
            client.cancel(list(running), force=True)


@contextmanager
def _lost_is_said() -> Iterator[None]:
    """Turn what Dask raises once its scheduler does not answer any more into one sentence.

    What its client still tries then, and what it logs of that, tracebacks among it, tells nothing more.
    """
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)  # from the start: the client may know of it before its caller
    try:
        yield
    except OSError as error:
        level = log.level
        raise error if isinstance(error, ClusterError) else ClusterError(f"{_LOST} ({type(error).__name__})") from None
    finally:
        log.setLevel(level)


def _result(future: Any, chunk: Any) -> Any:
    if future.status == "finished":
        return future.result()
    if future.status == "error":
        error = future.exception()
        if isinstance(error, OtherWorkerError):
            raise RequestError(str(error))
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ClusterError(f"chunk {chunk} failed on the cluster ({reason}); mend that and give the same command again")
    raise ClusterError(_LOST)


def _applied(payload: bytes, expected: Mapping[str, str], chunk: Any) -> Any:
    """The chunk's result, in a worker, which may have come after the others were asked for their versions."""
    try:
        _refuse_other(_worker_name(), own_versions(), expected)
    except RequestError as error:
        raise OtherWorkerError(str(error)) from None
    return _restored(payload)(chunk)


def _worker_name() -> str:
    from distributed import get_worker

    return get_worker().address


@lru_cache(maxsize=1)
def _restored(payload: bytes) -> Callable:
    """The function in this worker: the same object for all chunks, so that what it compiled stays."""
    import cloudpickle

    from jaxdark.compute.xla_cache import use_compile_cache
    from jaxdark.precision import enable_x64

    enable_x64()  # before any array is made: JAX would cut those of the function to single precision
    use_compile_cache()
    return cloudpickle.loads(payload)
