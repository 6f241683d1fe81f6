"""What holds before any test module is imported: double precision, compiled programs shared, two Hypothesis profiles.

Compiling is most of the work here. What one process has compiled the others of the run take from a folder of JAX's own
compile cache, whatever the tests do with jaxdark's; programs that jaxdark keeps beside it are not, because tests change
the code that those stand for. HYPOTHESIS_PROFILE=nightly takes more examples.
"""

import atexit
import ctypes
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

# The tests' own programs are compiled as jaxdark compiles its own, by the emitters that take a third of the time (see
# compute/aot.py), in the processes that a test starts too; those of jaxdark are what they are without it. LLVM's passes
# stay, but for `compile_soon`: without them two devices and one differ in the last digit. JAX reads this at first use.
os.environ["XLA_FLAGS"] = f"--xla_cpu_use_fusion_emitters=false {os.environ.get('XLA_FLAGS', '')}".strip()

import jax
import pytest
import typechecks  # noqa: F401  first
from hypothesis import settings

from jaxdark.compute import export_cache, xla_cache
from jaxdark.precision import enable_x64

TESTS = Path(__file__).parent
_PROGRAMS = "JAXDARK_TEST_PROGRAMS"
if _PROGRAMS not in os.environ:
    os.environ[_PROGRAMS] = tempfile.mkdtemp(prefix="jaxdark-programs-")
    atexit.register(shutil.rmtree, os.environ[_PROGRAMS], ignore_errors=True)
PROGRAMS = os.environ[_PROGRAMS]
"""The folder; workers inherit it, and several runs may be given the same one."""

enable_x64()
jax.config.update("jax_compilation_cache_dir", PROGRAMS)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
export_cache.switched_off = lambda: xla_cache.switched_off() or jax.config.jax_compilation_cache_dir == PROGRAMS

settings.register_profile("fast", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


RUN_SELDOM = {"acceptance", "constraints", "likelihood", "models", "reproduce", "semileptonic"}
RUN_SELDOM |= {"test_readme.py"}
"""Folders and files whose programs run a few times and are compared with numbers of another origin, not bit for bit."""


@pytest.fixture(scope="module", autouse=True)
def compile_soon(request):
    """There LLVM's optimisations, which change the rounding, take longer than they save, see `aot.FAST_COMPILE`."""
    here = request.path.relative_to(TESTS).parts[0] in RUN_SELDOM
    jax.config.update("jax_disable_most_optimizations", here)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Programs of one file are rarely those of the next, and all of them together take gigabytes.

    The C library keeps what is freed for itself until it is asked to hand it back.
    """
    yield
    jax.clear_caches()
    gc.collect()
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), "malloc_trim", bool)(0)  # glibc has it, musl has not


@pytest.fixture(scope="session")
def paper2020():
    """The likelihood of the largest data set: asymmetric errors, scans, every kind of row."""
    from jaxdark.likelihood.likelihood import Likelihood
    from jaxdark.measurements.dataset import load_dataset

    return Likelihood(load_dataset("paper2020"))
