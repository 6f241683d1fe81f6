"""Is there room for the box of Sec. 2.1? Masses enter; the muon Yukawa it needs and those it may have leave.

B_s mixing limits the quark couplings, so that C_9 asks for a least muon coupling; (g-2) and perturbativity cap it.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from jaxdark.models.couplings import muon_yukawa_limit
from jaxdark.models.other_models import TEV, box_mixing_strength, box_strength
from jaxdark.precision import require_x64

# Largest C_1 of B_s mixing, GeV^-2: |Y_b Y_s| = 0.09 at 1 TeV and light partners, Sec. 2.1.
MIXING_LIMIT = 0.09**2 / (128 * np.pi**2 * TEV**2)
PERTURBATIVE = float(np.sqrt(4 * np.pi))


class BoxScan(NamedTuple):
    """What `box_scan` finds at each point, dimensionless.

    Attributes:
        quarks: largest |Y_s* Y_b| under the bound from B_s mixing.
        needed: |Y_mu| that gives the wanted C_9 with it.
        g_minus_2: largest |Y_mu| under the bound from (g-2), Eq. (4).
        C9: most negative C_9 with all couplings at their bounds.
        common: whether C_9 can be reached.
    """

    quarks: Float[Array, "*grid"]
    needed: Float[Array, "*grid"]
    g_minus_2: Float[Array, "*grid"]
    C9: Float[Array, "*grid"]
    common: Bool[Array, "*grid"]


def box_scan(
    m_1: ArrayLike, m_2: ArrayLike, m_3: ArrayLike, m_4: ArrayLike = 1000.0, *, C9: float = -0.6,
    perturbative: float = PERTURBATIVE,
) -> BoxScan:  # fmt: skip
    """Where the box of Eq. (2) reaches C_9 under the bounds from B_s mixing, (g-2) and perturbativity.

    Args:
        m_1, m_2, m_3, m_4: masses in the loop as in `BoxModel`, GeV, arrays that broadcast to the grid.
        C9: the wanted C_9, negative.
        perturbative: largest |Y_mu|.

    Raises:
        RequestError: JAX is in single precision.
    """
    require_x64()
    masses = jnp.broadcast_arrays(*(jnp.asarray(m, float) for m in (m_1, m_2, m_3, m_4)))
    quarks = jnp.sqrt(MIXING_LIMIT / jnp.vectorize(box_mixing_strength)(*masses[1:]))
    per_Y_mu2 = quarks * jnp.vectorize(box_strength)(*masses)
    needed, allowed = jnp.sqrt(-C9 / per_Y_mu2), muon_yukawa_limit(jnp.maximum(*masses[:2]))
    largest = jnp.minimum(allowed, perturbative)
    return BoxScan(quarks, needed, allowed, -per_Y_mu2 * largest**2, needed <= largest)
