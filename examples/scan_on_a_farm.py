"""A scan on a Slurm farm: one Dask worker a job, the store written here. Needs jaxdark[scan] and dask-jobqueue.

Start it on a node that the jobs can reach, in a terminal that stays open (tmux). If it or any job is stopped, start it
again: it goes on with the chunks that are missing. For HTCondor write HTCondorCluster, with disk="2GB" and without
queue and walltime.
"""

from dask_jobqueue import SLURMCluster

import jaxdark as jd

if __name__ == "__main__":
    jd.enable_x64()
    cluster = SLURMCluster(
        queue="standard",
        cores=1,
        memory="4GB",
        walltime="04:00:00",
        # A worker ends itself before Slurm does, each a little later than the other: its chunk goes elsewhere.
        worker_extra_args=["--lifetime", "225m", "--lifetime-stagger", "10m"],
        job_script_prologue=["source venv/bin/activate"],
    )
    cluster.scale(jobs=100)
    result = jd.scan(
        jd.Likelihood(jd.load_dataset("paper2020")),
        out="results/farm.zarr",
        sobol=10**8,
        prior="high",
        outputs=["log_likelihood", "constraints"],
        scheduler=cluster,
    )
    print(result)
