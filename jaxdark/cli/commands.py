"""The commands of `jaxdark`, one module each.

Inputs: their functions. Outputs: the Typer application.
"""

from typing import Annotated

import typer

from jaxdark import __version__
from jaxdark.cli import (
    check,
    compare,
    constrain,
    data,
    evidence,
    fit,
    plot,
    point,
    profile,
    project,
    report,
    reproduce,
    sample,
    scan,
)

app = typer.Typer(
    name="jaxdark",
    help="Flavour observables b -> s of a light dark sector, differentiable, with inference on top (arXiv:2002.11150).",
    epilog="Example: jaxdark point m_V=5.5 g_mu_V=0.03 r_AV=-0.4 g_D=1 r=-3",
    add_completion=False,
)
app.command(epilog="Example: jaxdark point m_V=5.5 g_mu_V=0.03 r_AV=-0.4 g_D=1 r=-3 --q2 0.5,3.5,17 --json")(
    point.point
)
app.command(epilog="Example: jaxdark fit --region high --data paper2020 --out results/fit")(fit.fit)
app.command(
    epilog="Example: jaxdark profile m_V=2:15:200 g_mu_V=1e-3:0.2:200:log --region high --posterior results/high"
)(profile.profile)
app.command(epilog="Example: jaxdark sample --region high --data paper2020 --out results/high")(sample.sample)
app.command(epilog="Example: jaxdark constrain results/high-paper2020")(constrain.constrain)
app.command(epilog="Example: jaxdark check results/high-paper2020")(check.check)
app.command(epilog="Example: jaxdark compare results/high-paper2020 results/nested")(compare.compare)
app.command(epilog="Example: jaxdark project results/high-paper2020 --inject best --out future.yaml")(project.project)
app.command(epilog="Example: jaxdark evidence --region high --data paper2020 --json")(evidence.evidence)
app.command(epilog="Example: jaxdark scan m_V=2:15:200 g_mu_V=1e-3:0.2:200:log r_AV=-0.4 g_D=1 r=-3")(scan.scan)
app.command(epilog="Example: jaxdark reproduce --quick --out results/paper")(reproduce.reproduce)
app.command(epilog="Example: jaxdark plot results/high")(plot.plot)
app.command(epilog="Example: jaxdark report results/high-paper2020")(report.report)
app.add_typer(data.app, name="data")


@app.callback(invoke_without_command=True)
def _jaxdark(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        print(f"jaxdark {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
