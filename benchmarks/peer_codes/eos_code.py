"""EOS's predictions of given rows at given (C9, C10): JSON in, JSON out, eoshep alone is needed.

In: rows [process, observable, q2], points, and the amplitude below 14 GeV^2 by EOS's name for it: BFS2004, its QCD
factorisation, or GvDV2020, a parametrisation that costs least. Above is its operator product expansion. What several
observables of a bin share is computed once, in EOS's own cache.
"""

import json
import sys
import time

import eos

ANGULAR = {"FL": "F_L", "AFB": "A_FB@LHCb", "P1": "P_1@LHCb", "P2": "P_2@LHCb", "P3": "P_3@LHCb"}
ANGULAR |= {f"S{i}": f"S_{i}@LHCb" for i in "345789"} | {f"P{i}p": f"P'_{i}@LHCb" for i in "4568"}
THRESHOLD = 0.045  # of two muons, GeV^2; below it EOS's rate is not a number


def observable(process: str, name: str, q2, tag: str, parameters):
    """The EOS observable of a row."""
    options = {"model": "WET", "form-factors": "BSZ2015"}
    if q2 is None:
        options |= {"q": "s", "l": "mu"}
        return eos.Observable.make("B_q->ll::BR@Untagged", parameters, eos.Kinematics(), eos.Options(**options))
    low, high = max(q2[0], 0.0 if process.endswith("ee") else THRESHOLD), q2[1]
    options |= {"tag": tag if high < 14 else "GP2004", "q": "u" if process.startswith("B+") else "d"}
    if options["tag"] == "GvDV2020":
        options["nonlocal-formfactor"] = "GvDV2020"
    if name.startswith("R_"):
        edges = {"q2_mu_min": low, "q2_mu_max": high, "q2_e_min": low, "q2_e_max": high}
        full = "B->Kll::R_K" if name == "R_K" else "B->K^*ll::R_K^*"
    else:
        edges, full = {"q2_min": low, "q2_max": high}, f"B->K^*ll::{ANGULAR[name]}"
        options["l"] = "e" if process.endswith("ee") else "mu"
    return eos.Observable.make(full, parameters, eos.Kinematics(**edges), eos.Options(**options))


def main() -> None:
    asked = json.load(sys.stdin)
    parameters = eos.Parameters.Defaults()
    c9, c10 = parameters["b->smumu::Re{c9}"], parameters["b->smumu::Re{c10}"]
    central = c9.evaluate(), c10.evaluate()
    start = time.perf_counter()
    cache = eos.ObservableCache(parameters)
    places = [cache.add(observable(*row, asked["tag"], parameters)) for row in asked["rows"]]
    cache.update()
    first = time.perf_counter() - start
    seconds, values = [], []
    for point in asked["points"]:
        c9.set(central[0] + point[0])
        c10.set(central[1] + point[1])
        start = time.perf_counter()
        cache.update()
        values.append([cache[place] for place in places])
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"version": eos.__version__, "first_s": first, "seconds": seconds, "predictions": values}))


if __name__ == "__main__":
    main()
