"""What a run of the sampler keeps on disk, so that an interrupted one goes on from there and ends with the same bits.

Inputs: checkpoints. Outputs: the best fit, the transport map, and the chains or points as far as they had come.
"""

import time
from collections.abc import Callable

import numpy as np

from jaxdark.io.checkpoints import Arrays, Checkpoints, numbered
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior
from jaxdark.optimise.region_fit import RegionFit, fit_with_covariance, restored_fit
from jaxdark.sampling.flow import TrainedFlow
from jaxdark.sampling.nuts import Checkpoint, Draws

_CHAINS, _CHAIN = "chains", "chain"


def kept_fit(store: Checkpoints, like: Likelihood, prior: Prior, seed: int) -> RegionFit:
    """The region's fit, made once."""
    saved = store.load("fit")
    if saved is not None:
        return restored_fit(like, prior, saved, seed=seed)
    fit = fit_with_covariance(like, prior, seed=seed)
    store.save("fit", fit.arrays)
    return fit


def load_or_train_flow(store: Checkpoints, learn: Callable[[], TrainedFlow]) -> TrainedFlow:
    """The learned map, made once."""
    saved = store.load("map")
    if saved is not None:
        return TrainedFlow.from_arrays(saved)
    learned = learn()
    store.save("map", learned.arrays)
    return learned


def kept_chains(store: Checkpoints) -> tuple[Callable[[Checkpoint], None], Checkpoint | None]:
    """What `run_nuts` calls after each segment, and what it resumes from; a file holds one segment's draws."""
    parts = store.series(_CHAINS)
    steps, count = (sum(part["z"].shape[1] for part in parts), len(parts))

    def on_segment(checkpoint: Checkpoint) -> None:
        nonlocal steps, count
        new = {name: checkpoint[name][:, steps:] for name in Draws._fields}
        store.save(numbered(_CHAINS, count + 1), {**checkpoint, **new})
        steps, count = checkpoint["z"].shape[1], count + 1

    if not parts:
        return on_segment, None
    draws = {name: np.concatenate([part[name] for part in parts], axis=1) for name in Draws._fields}
    return on_segment, {**parts[-1], **draws}


def finished_chains(
    store: Checkpoints, chains: int
) -> tuple[Callable[[int, Checkpoint], None], dict[int, dict[str, np.ndarray]]]:
    """What `run_nuts_on_cluster` calls after each chain, and the chains that are done; a file holds a whole one."""
    found = {c: store.load(numbered(_CHAIN, c + 1)) for c in range(chains)}
    done = {c: chain for c, chain in found.items() if chain is not None}
    return lambda c, chain: store.save(numbered(_CHAIN, c + 1), chain), done


def kept_parts(store: Checkpoints, name: str) -> tuple[Callable[[Arrays], None], list[dict[str, np.ndarray]]]:
    """What `sample_prior` or `nested_sample` calls after each part of its work, and the parts that are there.

    Each holds beside the method's own arrays the "seconds" it took.
    """
    parts, clock = store.series(name), time.perf_counter()
    count = len(parts)

    def on_part(arrays: Arrays) -> None:
        nonlocal clock, count
        now = time.perf_counter()
        store.save(numbered(name, count + 1), {**arrays, "seconds": np.array(now - clock)})
        clock, count = now, count + 1

    return on_part, parts
