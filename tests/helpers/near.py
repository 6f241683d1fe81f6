"""How tests compare numbers: relatively, or with an absolute tolerance that is said, never both behind the scenes."""

import pytest


def near(expected, *, rel: float | None = None, abs: float | None = None):
    """What a number or an array equals within a relative tolerance of 1e-6, or within the one that is given.

    `pytest.approx` also passes whatever lies within 1e-12, which for a width in GeV or a Wilson coefficient in GeV^-2
    may be anything; here an absolute tolerance counts where it is given and nowhere else.

    Args:
        expected: a number, an array, a sequence or a mapping.
        rel: relative tolerance.
        abs: absolute tolerance; alone it is the only one.
    """
    if rel is None:
        rel = 1e-6 if abs is None else 0.0
    return pytest.approx(expected, rel=rel, abs=0.0 if abs is None else abs)  # noqa: TID251
