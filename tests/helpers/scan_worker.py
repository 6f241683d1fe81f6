"""A scan in a process of its own, for tests that kill it or give it other devices: STORE CHUNK N PHYSICS."""

import sys
from pathlib import Path

from toy_data import TOY

import jaxdark as jd
from jaxdark.compute.xla_cache import use_compile_cache
from jaxdark.likelihood.priors import prior_of

jd.enable_x64()


def toy_likelihood(folder, content=TOY):
    """The likelihood of a toy data set, whose file goes into a folder."""
    path = Path(folder) / "toy.yaml"
    path.write_text(content)
    return jd.Likelihood(jd.load_dataset(str(path)))


def content(path):
    """Every file of a store, byte for byte."""
    return {file.relative_to(path): file.read_bytes() for file in Path(path).rglob("*") if file.is_file()}


OUTPUTS = ("log_likelihood", "delta_a_mu", "observables")


def report(stage, done, total):
    """What the parent waits for."""
    print(stage, done, flush=True)


if __name__ == "__main__":
    store, chunk, n, physics = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
    use_compile_cache()
    like = toy_likelihood(Path(store).parent)
    prior = prior_of("high", physics=physics)
    jd.scan(like, out=store, sobol=n, chunk=chunk, prior=prior, outputs=OUTPUTS, reference="sm", report=report)
