"""Scans: their points, what is computed there, and stores that survive whatever ends the process."""

import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import jax
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from near import near
from scan_worker import OUTPUTS, content, toy_likelihood

import jaxdark as jd
from jaxdark.compute.batch import sharded
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.likelihood.priors import prior_of, prior_points
from jaxdark.optimise import profile as profile_module
from jaxdark.optimise.region_fit import fit_with_covariance
from jaxdark.scans import scan as scan_module
from jaxdark.scans import store
from jaxdark.scans.points import Axis, grid, of_prior, of_profile
from jaxdark.scans.scan import Scan, best_point, converged_fraction
from jaxdark.scans.store import open_scan

HELPERS = Path(__file__).parents[1] / "helpers"
FIXED = {"r_AV": -0.4, "g_D": 1.0, "r": -3.0}
GRID = {"m_V": "2:15:12", "g_mu_V": "1e-3:0.2:20:log", **FIXED}
PRINTED = {"physics": "paper"}
"""Where the complete physics would add nothing but the compilation of its likelihood."""
N, CHUNK = 700, 128
LINE = {"C9": "-2:0.5:40"}
PROFILE = {
    "profile": True,
    "model": "constant",
    "reference": "fit",
    "chunk": 16,
    "outputs": ["log_likelihood", "Toy_RK"],
}


@pytest.fixture(scope="module", autouse=True)
def compile_cache(tmp_path_factory):
    """Shared by all scans here, in this process and in others: each compiles the same programs."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    folder = tmp_path_factory.getbasetemp() / "compile-cache" / "jaxdark" / "xla"
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (str(folder), 0.0), strict=True):
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def like(tmp_path_factory):
    return toy_likelihood(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def whole(like, tmp_path_factory):
    """An uninterrupted scan of N Sobol points in chunks of CHUNK."""
    path = tmp_path_factory.mktemp("whole") / "scan.zarr"
    jd.scan(like, out=path, sobol=N, chunk=CHUNK, outputs=OUTPUTS, reference="sm")
    return path


@pytest.fixture(scope="module")
def constant_fit(like):
    return fit_with_covariance(like, prior_of("all", "constant"))


@pytest.fixture
def fitted_before(constant_fit, monkeypatch):
    """The region's best fit is at hand."""
    for module in (scan_module, profile_module):
        monkeypatch.setattr(module, "fit_with_covariance", lambda *_, **__: constant_fit)


@pytest.fixture(scope="module")
def whole_profile(like, constant_fit, tmp_path_factory):
    """An uninterrupted profile."""
    path = tmp_path_factory.mktemp("profile") / "scan.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_module, "fit_with_covariance", lambda *_, **__: constant_fit)
        jd.scan(like, LINE, out=path, **PROFILE)
    return path


def worker(path, *, chunk=CHUNK, n=N, physics="complete", **environment):
    environment |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(map(str, (HELPERS.parents[1], HELPERS)))}
    environment["XDG_CACHE_HOME"] = str(path.parents[1] / "compile-cache")
    command = [sys.executable, str(HELPERS / "scan_worker.py"), str(path), str(chunk), str(n), physics]
    return subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)


# Points


@given(st.floats(-5, 5), st.floats(0.1, 100), st.integers(2, 300), st.data())
def test_an_axis_is_numpys(lower, width, n, data):
    start = data.draw(st.integers(0, n - 1))
    axis = Axis(lower, lower + width, n)
    np.testing.assert_allclose(axis.values(), np.linspace(axis.lower, axis.upper, n), rtol=1e-14, atol=1e-14)
    assert np.array_equal(axis.values(slice(start, n)), axis.values()[start:])
    for ends in ((width, 7 * width), (-7 * width, -width)):
        log = Axis(*ends, n, log=True)
        np.testing.assert_allclose(log.values(), np.geomspace(*ends, n), rtol=1e-13)
        assert (log.values()[0], log.values()[-1]) == ends


@given(st.lists(st.integers(2, 9), min_size=1, max_size=4), st.integers(4, 9))
def test_chunks_cover_a_grid_once(shape, power):
    axes = {name: Axis(2.0, 3.0, n) for name, n in zip(("g_D", "m_V", "r", "m_Phi"), shape, strict=False)}
    points = grid({"m_V": 1.0, "g_mu_V": 0.1, "r_AV": 0.0, "g_D": 1.0, "r": 1.0, **axes}, "split", 2**power)
    seen = np.zeros(points.shape, int)
    for k in range(math.prod(points.chunks)):
        part = seen[points.region(k)]
        assert 0 < part.size <= 2**power
        part += 1
        assert len(points.at(points.region(k))) == part.size
    assert (seen == 1).all()


def test_points_of_a_grid_are_in_the_order_of_its_axes():
    points = grid(GRID, "split", 64)
    axes = [points.axes[name].values() for name in ("m_V", "g_mu_V")]
    expected = np.array(list(itertools.product(*axes))).reshape(12, 20, 2)
    for k in range(math.prod(points.chunks)):
        region = points.region(k)
        assert np.array_equal(points.at(region), expected[region].reshape(-1, 2))


@pytest.mark.parametrize("chunk", [16, 128, 4096])
def test_points_of_a_prior_do_not_depend_on_the_chunk(chunk):
    """Nor on the order in which chunks are asked for, as workers of a cluster do."""
    expected = {
        "random": np.random.Generator(np.random.Philox(key=3)).random((N, 5)),
        "sobol": prior_points(5, 1024, 3)[:N],
    }
    for kind, u in expected.items():
        points = of_prior(kind, N, prior_of("high"), {}, 3, chunk)
        for k in np.random.default_rng(0).permutation(math.prod(points.chunks)):
            (part,) = region = points.region(k)
            assert np.array_equal(points.at(region), u[part])


def test_points_of_a_profile_are_those_of_its_axes():
    """What is profiled comes last, as quantiles of its prior; axes and fixed parameters need not be in the prior."""
    given, prior = {"g_mu_V": "1e-3:0.2:5:log", "m_Phi": "500:900:3", "r_AV": 0.5}, prior_of("low")
    points = of_profile(given, prior, 0, 16)
    assert points.dims == ("g_mu_V", "m_Phi") and points.profiled == ("m_V", "g_D", "r")
    assert points.names == (*points.dims, *points.profiled)
    at = points.at(points.region(0))
    assert np.array_equal(at, list(itertools.product(*(axis.values() for axis in points.axes.values()))))
    vector = np.asarray(points.vector(np.concatenate([at[4], [0.5, 0.25, 1.0]])))
    np.testing.assert_allclose(vector, [*at[4], 1.3, 1.0, 10.0])
    model = points.model(vector)
    assert [float(value) for value in (model.m_Phi, model.r_AV, model.r)] == near([700.0, 0.5, 10.0])


# Values


def test_a_grid_has_labelled_axes_and_the_values_of_single_points(like, tmp_path):
    known = {entry.id: entry for entry in all_constraints(jd.DarkSector)}
    outputs = ["log_likelihood", "delta_a_mu", "observables"]
    result = jd.scan(like, GRID | PRINTED, out=tmp_path / "grid", chunk=64, outputs=outputs)
    assert result["log_likelihood"].dims == ("m_V", "g_mu_V")
    assert result["prediction"].dims == ("m_V", "g_mu_V", "measurement")
    assert result["constraint_value"].dims == ("m_V", "g_mu_V", "constraint")
    assert result["m_V"].attrs["units"] == "GeV"
    assert store.done(tmp_path / "grid").all()
    assert {name: float(result[name]) for name in FIXED} == FIXED
    chosen = [known[name] for name in result["constraint"].values]
    for i, j in ((0, 0), (5, 11), (11, 19)):
        here = result.isel(m_V=i, g_mu_V=j)
        model = jd.DarkSector(m_V=float(here["m_V"]), g_mu_V=float(here["g_mu_V"]), **FIXED, **PRINTED)
        evaluated = like.at(jd.NewPhysics()).evaluate(model)
        np.testing.assert_allclose(here["log_likelihood"], evaluated.log_likelihood, rtol=1e-9)
        predictions = here["prediction"].sel(measurement=list(like.data.ids))
        np.testing.assert_allclose(predictions, evaluated.predictions, rtol=1e-9)
        found = verdicts(model, like.sm, chosen)
        np.testing.assert_allclose(here["constraint_value"], found.value, rtol=1e-12)
        np.testing.assert_allclose(here["constraint_ratio"], found.ratio, rtol=1e-12)
    best = best_point(result)
    assert best["log_likelihood"] == float(result["log_likelihood"].max())
    assert best["parameters"] | FIXED == best["parameters"]


def test_a_scan_is_a_table_of_one_row_for_each_point(like, tmp_path):
    """Also in many chunks, with a parameter that is a vector and one that is a word; as xarray alone opens it."""
    fixed = {"g_mu_V": 0.03, "r_AV": -0.4, "g_D": 1.0, "r": (-3.0, 1.0), "m_chi": (1e-3, 2e-3), **PRINTED}
    fixed["bs_current"] = "conserved"
    path = tmp_path / "s"
    result = jd.scan(like, {"m_V": "2:15:40", **fixed}, out=path, chunk=16, outputs=["log_likelihood"])
    table, opened = xr.open_zarr(path).to_dataframe(), xr.open_zarr(path)
    xr.testing.assert_identical(opened.load(), result.load())
    assert len(table) == 40 and list(opened.sizes) == ["m_V"] and list(opened.data_vars) == ["log_likelihood"]
    np.testing.assert_allclose(table.index, np.linspace(2.0, 15.0, 40), rtol=1e-14)
    expected = like.at(jd.NewPhysics()).evaluate(jd.DarkSector(m_V=2.0, **fixed)).log_likelihood
    np.testing.assert_allclose(table["log_likelihood"].iloc[0], expected, rtol=1e-9)
    assert (table["m_chi_2"] == 2e-3).all() and (table["r_1"] == -3.0).all()
    assert (table["bs_current"] == "conserved").all() and (table["physics"] == "paper").all()
    assert store.done(path).tolist() == [True] * 3
    request = {"random": 70, "prior": prior_of("high", physics="paper"), "chunk": 32}
    points = jd.scan(like, out=tmp_path / "p", outputs=["log_likelihood", "delta_a_mu", "Toy_RK"], **request)
    assert len(points["log_likelihood"].to_dataframe()) == 70 and {"point", "constraint", "measurement"} == set(
        points.sizes
    )


def test_points_of_a_prior_carry_their_parameters(like, tmp_path):
    result = jd.scan(like, {"r": -2.0, "m_Phi": 800.0}, out=tmp_path / "s", random=300, chunk=128, outputs=["Toy_RK"])
    assert result["prediction"].dims == ("point", "measurement")
    assert list(result["measurement"].values) == ["Toy_RK"] and "log_likelihood" not in result
    assert best_point(result) is None
    prior = prior_of("high")
    for name in ("m_V", "g_mu_V", "r_AV", "g_D"):
        lower, upper, *_ = prior.ranges[name]
        values = result[name].values
        assert result[name].dims == ("point",) and ((values > lower) & (values < upper)).all()
    here = {name: float(result[name][250] if result[name].dims else result[name]) for name in (*prior.names, "m_Phi")}
    assert (here["r"], here["m_Phi"]) == (-2.0, 800.0)
    expected = like.evaluate(jd.DarkSector(**here)).predictions[like.data.ids.index("Toy_RK")]
    np.testing.assert_allclose(result["prediction"][250, 0], expected, rtol=1e-9)


def test_a_model_of_ones_own(like, tmp_path):
    result = jd.scan(
        like, {"C9": "-2:0:5", "C10": 0.5}, model=jd.ConstantWilson, out=tmp_path / "s", outputs=["log_likelihood"]
    )
    at_sm = like.at(jd.NewPhysics())
    expected = [at_sm.evaluate(jd.ConstantWilson(C9=C9, C10=0.5)).log_likelihood for C9 in (-2.0, -1.5, -1, -0.5, 0)]
    np.testing.assert_allclose(result["log_likelihood"], expected, rtol=1e-9)


def test_the_theory_covariance_at_the_best_fit_is_stored_and_taken_again(like, tmp_path, monkeypatch):
    def fitted(like, prior, *, seed):
        reference = np.array([5.0, 0.02, -0.3, 1.0, -2.0])
        return SimpleNamespace(reference=reference, vector=reference)

    monkeypatch.setattr(scan_module, "fit_with_covariance", fitted)
    request = {"out": tmp_path / "s", "sobol": 64, "outputs": ["log_likelihood"]}
    result = jd.scan(like, **request)
    at = json.loads(result.attrs["covariance_at"])
    assert at == {"m_V": 5.0, "g_mu_V": 0.02, "r_AV": -0.3, "g_D": 1.0, "r": -2.0}
    here = {name: float(result[name][3]) for name in at}
    expected = like.at(jd.DarkSector(**at)).evaluate(jd.DarkSector(**here)).log_likelihood
    np.testing.assert_allclose(result["log_likelihood"][3], expected, rtol=1e-9)
    monkeypatch.delattr(scan_module, "fit_with_covariance")
    assert Scan(like, **request)._store.missing() == []
    assert Scan(like, reference="fit", **request)._store.missing() == []
    for other in ("sm", at, jd.DarkSector(**at)):
        with pytest.raises(jd.RequestError, match="other reference"):
            jd.scan(like, reference=other, **request)


def test_the_theory_covariance_at_a_point(like, tmp_path):
    """By its parameters, by a model, or chosen in the likelihood: all three are the same scan."""
    place, here = {"C9": -1.0, "C10": 0.5}, jd.ConstantWilson(C9=-2.0, C10=0.3)
    request = {"model": "constant", "outputs": ["log_likelihood"], "out": tmp_path / "s"}
    line = {"C9": "-2:0:5", "C10": 0.3}
    result = jd.scan(like, line, reference=place, **request)
    expected = like.at(jd.ConstantWilson(**place)).evaluate(here).log_likelihood
    np.testing.assert_allclose(result["log_likelihood"][0], expected, rtol=1e-9)
    assert Scan(like, line, reference=jd.ConstantWilson(**place), **request)._store.missing() == []
    assert Scan(like.at(jd.ConstantWilson(**place)), line, **request)._store.missing() == []
    with pytest.raises(jd.RequestError, match="unknown parameter 'C99'"):
        jd.scan(like, line, reference={"C99": 1.0}, **request | {"out": tmp_path / "t"})


def test_a_profile_is_that_in_memory(whole_profile, like, constant_fit, fitted_before):
    """Streamed, each point by itself; all outputs are those of the model at the conditional minimum."""
    result = open_scan(whole_profile)
    expected = jd.profile(like, prior_of("all", "constant"), axes={"C9": result["C9"].values})
    np.testing.assert_allclose(-2 * result["log_likelihood"], expected["chi2"], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(result["C10"], expected["C10"], atol=1e-4)
    assert result["C10"].dims == ("C9",) and "C10" in result.coords and "C10" in best_point(result)["parameters"]
    assert converged_fraction(result) == 1.0 and (result["gradient_norm"] < 1e-4).all()
    assert [*json.loads(result.attrs["covariance_at"]).values()] == constant_fit.reference.tolist()
    here = result.isel(C9=17)
    evaluated = constant_fit.like.evaluate(jd.ConstantWilson(C9=float(here["C9"]), C10=float(here["C10"])))
    np.testing.assert_allclose(here["log_likelihood"], evaluated.log_likelihood, rtol=1e-9)
    np.testing.assert_allclose(here["prediction"], evaluated.predictions[like.data.ids.index("Toy_RK")], rtol=1e-9)


# Stores


def test_metadata(whole, like):
    result = open_scan(whole)
    settings, versions = json.loads(result.attrs["settings"]), json.loads(result.attrs["versions"])
    assert settings["data_sha256"] == like.data.sha256
    assert (settings["kind"], settings["points"], settings["seed"], settings["region"]) == ("sobol", N, 0, "high")
    assert settings["inputs"]["m_Bs"] == float(like.sm.m_Bs)
    assert settings["versions"]["jax"] == versions["jax"] == jax.__version__
    assert json.loads(result.attrs["covariance_at"]) == "standard_model"
    assert xr.open_zarr(whole).chunks["point"] == (*[CHUNK] * (N // CHUNK), N % CHUNK)


def test_a_stopped_scan_goes_on(whole, like, tmp_path):
    """Only with what is missing, and to the same bytes; what was there reads as it will, the rest as NaN."""
    path, seen = tmp_path / "scan.zarr", []

    def stop(stage, done, total):
        seen.append(done)
        if done == 3 * CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jd.scan(like, out=path, sobol=N, chunk=CHUNK, outputs=OUTPUTS, reference="sm", report=stop)
    half, full = open_scan(path), open_scan(whole)
    assert np.array_equal(half["log_likelihood"][: 3 * CHUNK], full["log_likelihood"][: 3 * CHUNK])
    assert np.isnan(half["log_likelihood"][3 * CHUNK :]).all()
    (path / "m_V" / "c" / "0.1234.partial").write_bytes(b"cut off")
    (path / "progress" / "done" / "c" / "4").write_bytes(b"")
    (path / "log_likelihood" / "c" / "3").write_bytes(b"half a chunk")
    report = lambda stage, done, total: seen.append(done)  # noqa: E731
    jd.scan(like, out=path, sobol=N, chunk=CHUNK, outputs=OUTPUTS, reference="sm", report=report)
    assert seen == [0, CHUNK, 2 * CHUNK, 3 * CHUNK, 3 * CHUNK, 4 * CHUNK, 5 * CHUNK, N]
    assert content(path) == content(whole)


def test_one_process_at_a_time(like, tmp_path):
    """While a scan runs nobody else writes to its store, whatever they ask for; then the lock is gone."""
    request, asked = {"out": tmp_path / "s", "sobol": 64, "chunk": 32, "outputs": ["log_likelihood"]}, []
    request["reference"] = "sm"

    def another(stage, done, total):
        for further in ({}, {"seed": 1, "force": True}):
            with pytest.raises(jd.RequestError, match="another process works on"):
                jd.scan(like, **request | further)
            asked.append(done)

    jd.scan(like, report=another, **request)
    assert asked == [0, 0, 32, 32, 64, 64]
    assert [path.name for path in tmp_path.iterdir() if path.name != "toy.yaml"] == ["s"]
    waiting = Scan(like, **request)
    jd.scan(like, **request | {"seed": 1, "force": True})
    with pytest.raises(jd.RequestError, match="one of other seed"):
        waiting.run()


def test_threads_of_a_worker_share_the_sobol_points():
    """Each chunk has its own points, whoever asks for which and when."""
    at = of_prior("sobol", 2**12, prior_of("high"), {}, 0, 64).at
    regions = [(slice(start, start + 64),) for start in range(0, 2**12, 64)]
    expected = [at(region) for region in regions]
    order = np.random.default_rng(0).permutation(len(regions))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: at(regions[k]), order))
    for k, points in zip(order, found, strict=True):
        np.testing.assert_array_equal(points, expected[k])


def test_a_stopped_profile_goes_on(whole_profile, like, fitted_before, tmp_path, monkeypatch):
    """To the same bytes, whatever the order of its chunks or the process, and without another best fit."""

    def stop(stage, done, total):
        if stage == "scan" and done:
            raise KeyboardInterrupt

    path = tmp_path / "scan.zarr"
    with pytest.raises(KeyboardInterrupt):
        jd.scan(like, LINE, out=path, report=stop, **PROFILE)
    assert store.done(path).tolist() == [True, False, False]
    monkeypatch.delattr(scan_module, "fit_with_covariance")
    task = Scan(like, LINE, out=path, **PROFILE)
    task._store.write(2, cloudpickle.loads(cloudpickle.dumps(task.work))(2))
    task.run()
    assert content(path) == content(whole_profile)
    with pytest.raises(jd.RequestError, match="one of other axes"):
        jd.scan(like, {"C9": "-2:0.5:41"}, out=path, **PROFILE)


def kill(path, after, seconds, **size):
    """Kill -9 a scan some seconds after it has reported a number of points; returns how many chunks were done."""
    with worker(path, **size) as process:
        for line in process.stdout:
            if line.split() == ["scan", str(after)]:
                break
        time.sleep(seconds)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    return int(store.done(path).sum())


def test_a_killed_scan_goes_on(whole, tmp_path):
    path = tmp_path / "scan.zarr"
    assert 1 <= kill(path, CHUNK, 0.0) < math.ceil(N / CHUNK)
    with worker(path) as process:
        process.communicate()
    assert content(path) == content(whole)


@pytest.mark.slow
def test_ten_kills_at_random_moments(tmp_path):
    """Anywhere in a chunk, computing or writing: all end alike.

    pytest -m slow tests/test_scan.py -k ten_kills
    """
    size, moments = {"chunk": 2**10, "n": 60_000}, random.Random(1)
    with worker(tmp_path / "reference.zarr", **size) as process:
        process.communicate()
    expected, done = content(tmp_path / "reference.zarr"), []
    for i in range(10):
        path = tmp_path / f"{i}.zarr"
        done.append(kill(path, 2**10 * moments.randrange(50), moments.uniform(0, 0.1), **size))
        with worker(path, **size) as process:
            process.communicate()
        assert content(path) == expected
    assert len(set(done)) > 5 and max(done) < 59


def test_another_scan_is_refused_and_force_replaces_it(whole, like, tmp_path):
    path = tmp_path / "scan.zarr"
    request = {"out": path, "sobol": 100, "outputs": ["log_likelihood"], "reference": "sm"}
    jd.scan(like, **request)
    for change, word in (({"seed": 1}, "seed"), ({"sobol": 200}, "points"), ({"outputs": ["Toy_RK"]}, "outputs")):
        with pytest.raises(jd.RequestError, match=rf"got one of other {word}; .* --force"):
            jd.scan(like, **request | change)
    jd.scan(like, out=path, sobol=N, chunk=CHUNK, outputs=OUTPUTS, reference="sm", force=True)
    assert content(path) == content(whole)
    assert [item.name for item in tmp_path.iterdir()] == ["scan.zarr"]


def test_what_is_no_scan_is_left_alone(like, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(jd.RequestError, match="expected the store of a scan or nothing"):
        jd.scan(like, out=tmp_path, sobol=100)
    with pytest.raises(jd.RequestError, match="where nothing is"):
        open_scan(tmp_path / "nothing")
    with pytest.raises(jd.RequestError, match="expected the store of a scan or nothing"):
        jd.scan(like, out=tmp_path, sobol=100, force=True)
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_full_disk(whole, like, tmp_path):
    """One sentence, a readable store, and the same bytes once there is space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk is not permitted here")
    path, request = disk / "scan.zarr", {"sobol": N, "chunk": CHUNK, "outputs": OUTPUTS, "reference": "sm"}
    filler = disk / "filler"
    try:
        task = Scan(like, out=path, **request)
        with filler.open("wb", buffering=0) as file:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            file.write(bytes(free - 2**16))
        with pytest.raises(OSError, match=r"No space left on device while writing to .*kept and readable"):
            task.run()
        result = open_scan(path).load()
        done = int(store.done(path).sum())
        assert 0 < done < math.ceil(N / CHUNK)
        expected = open_scan(whole)["log_likelihood"][: done * CHUNK]
        assert np.array_equal(result["log_likelihood"][: done * CHUNK], expected)
        filler.unlink()
        jd.scan(like, out=path, **request)
        assert content(path) == content(whole)
    finally:
        # Lazily: readers of results may hold files open until they are collected.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


# Devices


def test_two_devices_write_the_same_store(whole, tmp_path):
    """Bit for bit with the physics as printed; in the complete one but for rounding, as half a batch is not put into
    vectors like a whole one.
    """
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"  # the same programs
    path, paths = tmp_path / "scan.zarr", [tmp_path / "one.zarr", tmp_path / "two.zarr"]
    for physics, where, devices in (("complete", path, flags), *zip(("paper",) * 2, paths, ("", flags), strict=True)):
        with worker(where, physics=physics, XLA_FLAGS=devices or os.environ["XLA_FLAGS"]) as process:
            process.communicate()
        assert process.returncode == 0
    assert content(paths[0]) == content(paths[1])
    found, expected = xr.open_zarr(path), xr.open_zarr(whole)
    assert found.attrs == expected.attrs and found.sizes == expected.sizes
    for name, values in expected.variables.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, rtol=1e-12)
        else:
            assert found[name].variable.equals(values)


def test_a_sharded_function_is_the_mapped_one():
    """With leading arguments, trees of results and a number of points that fills no batch."""
    points = np.random.default_rng(0).normal(size=(37, 3))
    found = sharded(lambda a, x: {"sum": a["b"] * x.sum(), "x": x}, batch=8)({"b": np.float64(2)}, points)
    np.testing.assert_allclose(found["sum"], 2 * points.sum(axis=1), rtol=1e-15)
    assert np.array_equal(found["x"], points)


# Wrong requests


@pytest.mark.parametrize(
    ("parameters", "settings", "sentence"),
    [
        ({**GRID, "m_V": "2:15"}, {}, "expected LOWER:UPPER:COUNT .* for m_V, got '2:15'"),
        ({**GRID, "m_V": "2:15:9:lg"}, {}, "expected LOWER:UPPER:COUNT .* for m_V"),
        ({**GRID, "m_V": "2:15:9:log:log"}, {}, "expected LOWER:UPPER:COUNT .* for m_V"),
        ({**GRID, "m_V": "15:2:9"}, {}, "from a smaller to a larger number, got 15 to 2"),
        ({**GRID, "m_V": "2:inf:9"}, {}, "from a smaller to a larger number"),
        ({**GRID, "m_V": "2:15:1"}, {}, "at least 2 values on the axis of m_V, got 1"),
        ({**GRID, "r": "-3:3:9:log"}, {}, "ends of one sign on the logarithmic axis of r"),
        ({**GRID, "m_V": "-2:15:9"}, {}, "m_V is .* must be positive"),
        ({**GRID, "m_v": 2.0}, {}, "unknown parameter 'm_v' .* m_V"),
        ({"m_V": "2:15:9"}, {}, "also needs g_mu_V, r_AV, g_D, r"),
        ({"m_V": 2.0, "g_mu_V": 0.1, **FIXED}, {}, "expected an axis such as"),
        (GRID, {"sobol": 10}, "leave out one of the two"),
        ({}, {"sobol": 10, "random": 10}, "got both"),
        ({}, {"random": 0}, "expected at least 1 points after --random, got 0"),
        ({}, {"sobol": 2**31}, "expected 1 to 1073741824 points"),
        ({}, {"random": 10, "prior": "hihg"}, "unknown region 'hihg'.*high"),
        ({"m_V": 2.0, "g_mu_V": 0.1, **FIXED}, {"random": 10}, "expected a parameter left to draw"),
        ({"r_VA": 2.0}, {"random": 10}, "unknown parameter 'r_VA'"),
        ({}, {"random": 10, "outputs": ["log_likelihod"]}, "unknown output 'log_likelihod'.*log_likelihood"),
        ({}, {"random": 10, "outputs": ["Toy_RX"]}, "unknown output 'Toy_RX'.*Toy_RK"),
        ({}, {"random": 10, "outputs": []}, "expected outputs, got none"),
        ({}, {"random": 10, "chunk": 1000}, "power of two"),
        ({}, {"random": 10, "reference": "best"}, "expected the reference sm or fit"),
        ({}, {"random": 10, "model": "zprim"}, "unknown model 'zprim'"),
        (GRID, {"model": "splt"}, "unknown model 'splt'"),
        (GRID, {"profile": True, "model": "splt"}, "unknown model 'splt'"),
        (GRID, {"profile": True, "model": jd.DarkSector}, "expected a Prior of a model of your own"),
        ({"r_AV": -0.4}, {"profile": True}, "expected an axis such as m_V=2:15:200 for --profile, got none"),
        (GRID, {"profile": True}, "expected a parameter left to profile, got all of m_V, g_mu_V, r_AV, g_D, r"),
        ({"m_v": "2:15:9"}, {"profile": True}, "unknown parameter 'm_v' .* m_V"),
        ({"m_V": "-2:15:9"}, {"profile": True}, "m_V is .* must be positive"),
        (
            {"m_V": "2:15:9"},
            {"profile": True, "random": 10},
            "expected a profile on a grid, got random or sobol points",
        ),
        ({"m_V": "2:15:9"}, {"profile": True, "prior": "hihg"}, "unknown region 'hihg'.*high"),
        ({"m_V": "2:15:9"}, {"profile": True, "chunk": 1000}, "power of two.* take 1024"),
    ],
)
def test_a_wrong_request_is_one_sentence(like, tmp_path, parameters, settings, sentence):
    with pytest.raises(jd.RequestError, match=sentence):
        jd.scan(like, parameters, **{"out": tmp_path / "s", "outputs": ["log_likelihood"], **settings})
    assert not list(tmp_path.iterdir())


def test_the_full_likelihood_has_no_scan(like, tmp_path):
    full = jd.Likelihood(like.data, theory="full")
    with pytest.raises(jd.RequestError, match="take theory marginalised"):
        jd.scan(full, out=tmp_path / "s", random=10)
    with pytest.raises(jd.RequestError, match="take theory marginalised"):
        jd.scan(full, {"m_V": "2:15:9"}, out=tmp_path / "s", profile=True)


def test_a_missing_extra(like, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(jd.RequestError, match=r'pip install "jaxdark\[scan\]"'):
        jd.scan(like, out=tmp_path / "s", random=10)
