"""One sharded batch of likelihoods over the devices of several processes, with jax.distributed.

On a multi-host GPU node or in a Slurm allocation start it once per process, `srun python THIS_FILE`, and
jax.distributed finds the others itself. To try it on the CPUs of one machine start it twice, with the arguments 0
and 1.
A process that dies stops all of them: for scans take `jaxdark scan --scheduler` instead.
"""

import sys

import jax

import jaxdark as jd
from jaxdark.compute.batch import sharded
from jaxdark.likelihood.priors import prior_of, prior_points

if __name__ == "__main__":
    jd.enable_x64()
    if len(sys.argv) > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize("127.0.0.1:29400", num_processes=2, process_id=int(sys.argv[1]))
    else:
        jax.distributed.initialize()
    like, prior = jd.Likelihood(jd.load_dataset("lhcb_core")), prior_of("high")
    points = prior_points(len(prior.names), 2**14, seed=0)
    # Every process gives all points, computes those of its own devices and gets all values.
    values = sharded(lambda u: like(prior.model(prior.vector(u))))(points)
    if jax.process_index() == 0:
        print(f"{jax.device_count()} devices, best {values.max():.3f} at {prior.vector(points[values.argmax()])}")
