"""Data flows one way: a module imports only from modules above it, and no two import each other."""

import ast
from pathlib import Path

import pytest

import jaxdark

PACKAGE = Path(jaxdark.__file__).parent
# From top to bottom; a name stands for what lies under it too, and modules of one layer may import each other.
# `results` knows nothing of inference, which hands it named arrays to store.
LAYERS = (
    ("errors", "precision", "versions", "compile_cache", "ahead", "repeats", "kept", "fingerprint", "bounds"),
    ("text_files", "yaml_fields", "checks"),
    ("inputs",),
    ("wilson",),
    ("dark", "semileptonic"),
    ("constraints", "models"),
    ("nuisances", "plausibility", "measurement_checks", "results", "result_checks", "checkpoints", "places", "runs"),
    ("cluster",),
    ("predictions", "measurements"),
    ("inference",),
    ("point", "constrain", "projection", "tables", "report", "page", "drawing", "plots", "profile_figure"),
    ("scans",),
    ("reproduce",),
    ("cli", "__main__"),
)


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


def layer(name):
    found = [i for i, members in enumerate(LAYERS) if any(f"{name}.".startswith(f"{member}.") for member in members)]
    assert len(found) == 1, f"{name} has no place in LAYERS"
    return found[0]


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_upwards(name):
    for other in imports(name, at_load=False):
        assert layer(other) <= layer(name), f"{name} imports {other} from below it"


def test_models_and_observables_know_nothing_of_each_other():
    """They meet in `wilson` alone."""
    for name in MODULES:
        family = name.split(".")[0]
        if family in ("dark", "semileptonic"):
            others = {other.split(".")[0] for other in imports(name, at_load=False)}
            assert others <= {family, "errors", "ahead", "precision", "checks", "inputs", "wilson"}, name


def test_no_module_imports_itself_in_a_circle():
    graph = {name: imports(name, at_load=True) for name in MODULES}
    while graph:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        assert leaves, f"circular imports among {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in leaves}


def test_the_reader_of_imports_sees_them():
    """The test's own instrument: imports at load, inside functions, of modules and of names."""
    assert imports("inputs", at_load=True) == {"errors", "precision", "text_files", "yaml_fields"}
    assert "inference.likelihood" in imports("cli.options", at_load=False) - imports("cli.options", at_load=True)
    assert {"plots", "results", "runs"} <= imports("cli.plot", at_load=False)
