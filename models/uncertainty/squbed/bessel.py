"""Modified Bessel functions of the first kind, real order, scaled and in logarithms, so that none over- or underflows.

scipy's exponentially scaled ``ive`` is exact to 1e-13 but underflows for high orders (order 511 at 1e-3 is about
1e-2850). From order `UNIFORM` on, Debye's uniform expansion (DLMF 10.41.3) takes its place: relative error about
``|U_8(p)| / order**8``, below 1e-13, for every argument.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.special import ive

UNIFORM = 50.0
"""Order from which the uniform expansion is used; below it, no argument above 1e-4 underflows."""
TERMS = 8


def log_ive(order: float, argument: float) -> float:
    """Logarithm of ``exp(-argument) I_order(argument)`` for order >= 0, argument >= 1e-4."""
    if order < UNIFORM:
        return math.log(ive(order, argument))
    z = argument / order
    root = math.sqrt(1 + z * z)
    exponent = order * (1 / (root + z) + math.log(z / (1 + root)))
    p = 1 / root
    series = math.fsum(float(u(p)) / order**k for k, u in enumerate(_debye()))
    return exponent + math.log(series) - 0.5 * math.log(2 * math.pi * order * root)


def bessel_ratio(order: float, argument: float) -> float:
    """``I_{order+1}(argument) / I_order(argument)``, in [0, 1)."""
    if argument < 1e-4:  # the series' first terms; the next is below 1e-17 of it
        return argument / (2 * order + 2) * (1 - argument * argument / ((2 * order + 2) * (2 * order + 4)))
    return math.exp(log_ive(order + 1, argument) - log_ive(order, argument))


@cache
def _debye() -> tuple[np.polynomial.Polynomial, ...]:
    """U_0 .. U_{TERMS-1} by DLMF 10.41.9: U_{k+1} = p^2 (1 - p^2) U_k' / 2 + (1/8) int_0^p (1 - 5 t^2) U_k dt."""
    first, second = np.polynomial.Polynomial([0, 0, 0.5, 0, -0.5]), np.polynomial.Polynomial([1 / 8, 0, -5 / 8])
    found = [np.polynomial.Polynomial([1.0])]
    while len(found) < TERMS:
        found.append(first * found[-1].deriv() + (second * found[-1]).integ())
    return tuple(found)
