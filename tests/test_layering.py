"""Data flows one way: a module imports only from those above it in the house."""

import ast
from pathlib import Path

import pytest

import jaxdark

PACKAGE = Path(jaxdark.__file__).parent
# The house from top to bottom: folders in the order of the data's way, files in the order of reading. A module imports
# only from those before it.
HOUSE = """
errors choices precision _version
compute: bounds xla_cache cluster fingerprint export_cache aot batch roots
io: text_files validation checkpoints atomic result_dir result_schema results
inputs
models: loops checks propagator wilson base widths coefficients muon_g2 switches vertex split
models: constant zprime vector_like box registry
semileptonic: charmonium form_factors kinematics nonlocal_terms quadrature exchange amplitudes bins leptonic neutrinos
semileptonic: observables nuisances tables predictor
measurements: plausibility schema library selection dataset additions
constraints: limit vector_emission
constraints.b_to_k_invisible: quadrature rates pair_quadrature pair_spectra pair_poles pairs searches
constraints.b_to_k_invisible: histogram belle2_likelihood belle2_profile belle2 belle2_two_body
constraints: line_weights resonance_search mixing bs_invisible scalar kinetic_mixing colliders electroweak relic
constraints: without_limit registry choice terms
likelihood: priors residuals nuisance_profile nuisance_integral evaluation identity likelihood provenance
optimise: descents least_squares augmented optax_descents conditional multistart region_fit toys fit_result
optimise: uncertainties fit constrained_search constrained profile
sampling: importance diagnostics weighted flow density nuts coordinates nested to_arviz resume sample numpyro_model
check: compare sensitivity evidence calibration
analysis: point constrain projection
output: drawing table draws contours corner_figure trace_figure plane_figure pulls_figure figures overlay_figure
output: profile_figure tables html_report
scans: points outputs store scan
reproduce: estimates thresholds claim study figures numbers workers fit_claims model_claims invisible_figure
reproduce: survivors paper
cli: settings options stopping stored
cli: point sample fit profile check evidence compare project constrain scan reproduce plot report data commands
cli __main__
"""


def in_order():
    """Dotted names of all modules as HOUSE lists them; a folder's own name comes before its files."""
    for line in HOUSE.strip().splitlines():
        folder, _, files = line.rpartition(":")
        for file in files.split():
            yield f"{folder}.{file}".lstrip(".")


def modules():
    """Dotted name without the package, and path, of every module but the package's own __init__."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            yield name, path


MODULES = dict(modules())


def names_imported(statement):
    """Modules of the package that an import statement asks for."""
    if isinstance(statement, ast.Import):
        wanted = [alias.name for alias in statement.names]
    else:
        wanted = [f"{statement.module}.{alias.name}" for alias in statement.names]
    for name in wanted:
        if name.split(".")[0] == "jaxdark":
            inner = name.split(".")[1:]
            while inner and ".".join(inner) not in MODULES:
                inner.pop()
            if inner:
                yield ".".join(inner)


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(name, *, at_load):
    """Modules of the package that a module imports; at_load leaves out those inside functions or for type checkers."""
    found, waiting = set(), [ast.parse(MODULES[name].read_text(encoding="utf-8"))]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not getattr(node, "level", 0), f"{name} has a relative import"
            found |= set(names_imported(node))
        elif not is_type_checking(node) and not (at_load and isinstance(node, functions)):
            waiting += ast.iter_child_nodes(node)
    return found - {name}


ORDER = {name: place for place, name in enumerate(in_order())}
FOLDERS = {name.rpartition(".")[0] for name in MODULES} - {""}


def test_every_file_has_its_place():
    """Folders have an `__init__` of one line, and nothing is loose beside them that the house does not list."""
    assert MODULES.keys() - FOLDERS == ORDER.keys() - FOLDERS
    for folder in FOLDERS - {"cli"}:
        assert len(MODULES[folder].read_text(encoding="utf-8").splitlines()) == 1, folder


@pytest.mark.parametrize("name", ORDER)
def test_a_module_imports_only_from_those_before_it(name):
    """Annotations, and imports inside functions, included."""
    for other in imports(name, at_load=False) - FOLDERS:
        assert ORDER[other] < ORDER[name], f"{name} imports {other} from below it"


def test_models_and_observables_know_nothing_of_each_other():
    """They meet in `wilson` alone."""
    for name in ORDER:
        others = {other for other in imports(name, at_load=False) if other.startswith(("models.", "semileptonic."))}
        if name.startswith("models."):
            assert not {other for other in others if other.startswith("semileptonic.")}, name
        if name.startswith(("semileptonic.", "measurements.")):
            assert {other for other in others if other.startswith("models.")} <= {"models.wilson", "models.checks"}, (
                name
            )


def test_the_reader_of_imports_sees_them():
    """The test's own instrument: imports at load, inside functions, of modules and of names."""
    assert imports("inputs", at_load=True) >= {"errors", "precision", "io.text_files", "io.validation"}
    assert "likelihood.likelihood" in imports("cli.options", at_load=False) - imports("cli.options", at_load=True)
    assert {"output.figures", "io.results", "io.result_dir"} <= imports("cli.plot", at_load=False)
