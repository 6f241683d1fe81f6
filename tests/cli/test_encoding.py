"""Output on a terminal that shows ASCII alone, as PYTHONIOENCODING=ascii or an old locale makes it."""

import os
import subprocess
import sys

import pytest


def run(*arguments, encoding="ascii"):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "120"}
    command = [sys.executable, "-c", "import sys; from jaxdark.cli import main; sys.exit(main())", *arguments]
    found = subprocess.run(command, env=environment, capture_output=True, timeout=300)
    assert b"Traceback" not in found.stderr, found.stderr.decode()
    return found.returncode, found.stdout.decode("ascii"), found.stderr.decode("ascii")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("data", "list"), 0, "paper2020"),
        (("data", "show", "LHCb_RK_2019"), 0, "R_K"),
        (("point", "--help"), 0, "Usage"),
        (("data", "show", "LHCb_R±K"), 2, "got 'LHCb_R+-K'"),
        (("data", "check", "ein_µ\u0416.yaml"), 2, "??.yaml"),
    ],
)
def test_commands_answer_in_ascii(arguments, code, words):
    got, out, err = run(*arguments)
    assert got == code and words in out + err


TABLE = """
import sys
from jaxdark.output import tables
from jaxdark.cli import main, options
main(["--version"])
options.console().print(tables.with_error(0.846, 0.06), "4 × 2000 draws − …", sep="\\n")
print("χ²", file=sys.stderr)
"""


def test_signs_of_a_table_become_ascii():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    found = subprocess.run([sys.executable, "-c", TABLE], env=environment, capture_output=True, timeout=300)
    assert found.returncode == 0, found.stderr.decode()
    lines = found.stdout.decode("ascii").splitlines()
    assert lines[1:] == ["0.846 +- 0.060", "4 x 2000 draws - ..."] and found.stderr == b"chi?\n"
