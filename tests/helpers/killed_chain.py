"""Chains on the toy that keep their segments in a folder and, if asked, die without warning while the k-th is written.

Called as `python killed_chain.py FOLDER K`.
"""

import os
import signal
import sys

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from toy import DIMENSION, log_likelihood

from jaxdark.io.checkpoints import Checkpoints
from jaxdark.precision import enable_x64
from jaxdark.sampling.density import floored
from jaxdark.sampling.nuts import NutsSettings, run_nuts
from jaxdark.sampling.resume import kept_chains

SETTINGS = NutsSettings(warmup=20, draws=80, segment=10, step_size=0.3)


def log_density(z):
    return floored(log_likelihood(ndtr(z)), 0.0) - 0.5 * jnp.sum(z**2)


def chains(folder):
    """The run, from wherever it had come."""
    on_segment, resume = kept_chains(Checkpoints(folder))
    starts = 0.3 * np.random.default_rng(0).normal(size=(2, DIMENSION))
    return run_nuts(log_density, starts, seed=3, settings=SETTINGS, on_segment=on_segment, resume=resume)


def die_in_write(k):
    """Kill this process when the k-th file is half-written."""
    count, savez = 0, np.savez

    def killing(file, **arrays):
        nonlocal count
        count += 1
        savez(file, **arrays)
        if count == k:
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    np.savez = killing


if __name__ == "__main__":
    enable_x64()
    die_in_write(int(sys.argv[2]))
    chains(sys.argv[1])
