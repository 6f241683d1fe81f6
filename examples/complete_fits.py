"""What the complete physics makes of the fits: best fits, evidences and the strong phase in S7 and S8.

python examples/complete_fits.py paper2020 high                 (an hour on two cores, most of it for two fermions)
python examples/complete_fits.py hepfit2019 low split split-paper          (minutes)

Beside the five parameters of the paper: m_chi free from 1 MeV to 10 GeV, and a second dark fermion.
"""

import sys

import jax.numpy as jnp

import jaxdark as jd
from jaxdark.check.evidence import evidence
from jaxdark.likelihood.priors import prior_of

BINS = [(1.1, 2.5), (2.5, 4.0), (4.0, 6.0), (15.0, 19.0)]


def two_fermions(r_1, r_2, m_chi_1, m_chi_2, **others) -> jd.Model:
    """A second dark fermion with a coupling and a mass of its own."""
    return jd.DarkSector(r=jnp.stack([r_1, r_2]), m_chi=jnp.stack([m_chi_1, m_chi_2]), **others)


def priors(region: str) -> dict[str, jd.Prior]:
    """The paper's, complete and as printed, and with m_chi free: of one fermion and of two."""
    complete, mass = prior_of(region), jd.Range(1e-3, 10.0, log=True)
    ranges = dict(complete.ranges)
    r = ranges.pop("r")
    other = r._replace(sign=-r.sign)
    return {
        "split": complete,
        "split-paper": prior_of(region, physics="paper"),
        "m_chi free": complete._replace(ranges=complete.ranges | {"m_chi": mass}, model_name="m_chi free"),
        "two fermions": jd.Prior(
            region, ranges | {"r_1": r, "r_2": other, "m_chi_1": mass, "m_chi_2": mass}, two_fermions, "two fermions"
        ),
    }


def main(data: str = "paper2020", region: str = "high", *names: str) -> None:
    """Print best fits, evidences, and S7 and S8 at two of the fits; of all priors, or of those named."""
    jd.enable_x64()
    like = jd.Likelihood(jd.load_dataset(data))
    models, chosen = {}, {name: prior for name, prior in priors(region).items() if name in names or not names}
    for name, prior in chosen.items():
        fit = jd.fit(like, prior, toys=0)
        models[name] = fit.model
        at = ", ".join(f"{key} = {value.value:.4g}" for key, value in fit.parameters.items())
        print(f"{name}: gain in ln L {fit.delta_chi2_sm / 2:.2f}, chi2 {fit.chi2:.2f}, {at}; {fit.status}", flush=True)
    found = evidence(like, region, models=[*chosen.values(), "zprime", "constant"])
    for name, entries in found["models"].items():
        for at, entry in entries.items():
            value = f"ln Z {entry['log_evidence']:.2f} ± {entry['error']:.2f}"
            print(f"{name}, covariance at {at}: {value}, over the SM {entry['log_bayes_factor']:+.2f}", flush=True)
    for name in {"split-paper", "split"} & models.keys():
        for q2 in BINS:
            angular = jd.binned_angular("B0->K*0mumu", q2, models[name], like.sm)
            print(f"{name}, q2 {q2}: S7 {float(angular['S7']):+.4f}, S8 {float(angular['S8']):+.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
