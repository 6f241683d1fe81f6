"""flavio's predictions of given rows at given (C9, C10), and emcee on them: JSON in, JSON out, flavio alone is needed.

In: rows [process, observable, q2], points, for the likelihood centres, errors and whitening, for emcee walkers and
steps. The likelihood around flavio is a Gaussian in NumPy; the predictions take all of the time.
"""

import importlib.util
import json
import sys
import time
import warnings

import flavio
import numpy as np

# flavio says at every low q2 that its QCD factorisation has limits
warnings.simplefilter("ignore")
RATIOS = {"B+->K+ll": "<Rmue>(B+->Kll)", "B0->K*0ll": "<Rmue>(B0->K*ll)", "B+->K*+ll": "<Rmue>(B+->K*ll)"}


def observable(process: str, name: str, q2: list[float] | None) -> tuple:
    """Arguments of `flavio.np_prediction` that follow the Wilson coefficients, the name first."""
    if q2 is None:
        return ("BR(Bs->mumu)",)
    if process in RATIOS:
        return (RATIOS[process], *q2)
    return (f"<{name}>({process.replace('K*0', 'K*')})", *q2)


def predictions(observables: list[tuple], point: np.ndarray) -> np.ndarray:
    """All rows; each observable is computed once, as in flavio's own likelihoods."""
    wilson = flavio.WilsonCoefficients()
    wilson.set_initial({"C9_bsmumu": point[0], "C10_bsmumu": point[1]}, 4.8)
    values = {known: flavio.np_prediction(known[0], wilson, *known[1:]) for known in dict.fromkeys(observables)}
    return np.array([float(values[known]) for known in observables])


def ensemble(observables, likelihood: dict, settings: dict) -> dict | None:
    """Seconds and calls of a few steps of emcee."""
    if importlib.util.find_spec("emcee") is None:
        return None
    import emcee

    centre, error, whitening = (np.array(likelihood[name]) for name in ("centre", "error", "whitening"))
    calls = [0]

    def log_probability(point):
        calls[0] += 1
        return -0.5 * np.sum((whitening @ ((predictions(observables, point) - centre) / error)) ** 2)

    sampler = emcee.EnsembleSampler(settings["walkers"], 2, log_probability)
    start = time.perf_counter()
    sampler.run_mcmc(np.random.default_rng(0).normal(0, 0.1, (settings["walkers"], 2)), settings["steps"])
    return {"seconds": time.perf_counter() - start, "calls": calls[0], "version": emcee.__version__}


def main() -> None:
    asked = json.load(sys.stdin)
    observables = [observable(*row) for row in asked["rows"]]
    start = time.perf_counter()
    predictions(observables, np.zeros(2))
    first = time.perf_counter() - start
    seconds, values = [], []
    for point in asked["points"]:
        start = time.perf_counter()
        values.append(predictions(observables, np.array(point)).tolist())
        seconds.append(time.perf_counter() - start)
    found = {"version": flavio.__version__, "first_s": first, "seconds": seconds, "predictions": values}
    print(json.dumps(found | {"emcee": ensemble(observables, asked["likelihood"], asked["emcee"])}))


if __name__ == "__main__":
    main()
