from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import vonmises_fisher

from models.errors import ModelsError
from models.uncertainty.squbed import fit_vmf, vmf_concentration, vmf_entropy
from models.uncertainty.squbed.bessel import bessel_ratio
from models.uncertainty.squbed.vmf import HIGHEST_CONCENTRATION, log_sphere_area

DIMENSIONS = (2, 3, 4, 8, 16, 18, 19, 33, 64, 101, 102, 103, 128, 256, 511, 768, 1024)
CONCENTRATIONS = np.logspace(-3, 6, 19)


def exact(dimension: int, concentration: float) -> mpmath.mpf:
    """Eq. 8 with 40 digits."""
    with mpmath.workdps(40):
        kappa, order = mpmath.mpf(concentration), mpmath.mpf(dimension) / 2 - 1
        low, high = mpmath.besseli(order, kappa), mpmath.besseli(order + 1, kappa)
        log_c = order * mpmath.log(kappa) - (order + 1) * mpmath.log(2 * mpmath.pi) - mpmath.log(low)
        return -log_c - kappa * high / low


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_entropy_agrees_with_high_precision(dimension: int):
    for concentration in CONCENTRATIONS:
        reference = exact(dimension, concentration)
        error = abs(vmf_entropy(dimension, concentration) - reference)
        assert error / abs(reference) < 1e-9, (dimension, concentration)
        assert error < 1e-11 + 5e-13 * concentration, (dimension, concentration)


@pytest.mark.parametrize("dimension", [2, 3, 10, 17, 18])
def test_where_the_entropy_passes_through_zero_its_absolute_error_is_small(dimension: int):
    crossing = brentq(lambda kappa: vmf_entropy(dimension, kappa), 1e-3, 1e3, xtol=1e-12)
    for concentration in crossing * np.array([1 - 1e-4, 1.0, 1 + 1e-4]):
        assert abs(vmf_entropy(dimension, concentration) - exact(dimension, concentration)) < 1e-11


@pytest.mark.parametrize("dimension", [2, 30, 1024])
def test_entropy_falls_from_that_of_the_uniform_distribution(dimension: int):
    values = [vmf_entropy(dimension, kappa) for kappa in (0.0, *np.logspace(-6, 6, 200))]
    assert values[0] == pytest.approx(log_sphere_area(dimension), rel=1e-14)
    assert np.isfinite(values).all()
    assert (np.diff(values) <= 1e-9).all()
    assert values[-1] < values[0] - dimension / 2


def test_sphere_area_of_circle_and_ball():
    assert log_sphere_area(2) == pytest.approx(math.log(2 * math.pi))
    assert log_sphere_area(3) == pytest.approx(math.log(4 * math.pi))


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_concentration_undoes_the_bessel_ratio(dimension: int):
    for concentration in np.logspace(-3, 5.9, 30):
        resultant = bessel_ratio(dimension / 2 - 1, concentration)
        assert vmf_concentration(dimension, resultant) == pytest.approx(concentration, rel=1e-7)


@pytest.mark.parametrize(
    ("dimension", "concentration"), [(2, 0.5), (2, 20.0), (3, 5.0), (8, 40.0), (64, 100.0), (128, 1e4), (256, 2e3)]
)
def test_fit_recovers_sampled_distributions(dimension: int, concentration: float):
    rng = np.random.default_rng(dimension)
    mean = rng.normal(size=dimension)
    mean /= np.linalg.norm(mean)
    fitted = fit_vmf(vonmises_fisher(mean, concentration, seed=rng).rvs(4000))
    assert fitted.mean @ mean > 0.95
    assert fitted.concentration == pytest.approx(concentration, rel=0.08)
    assert fitted.entropy == pytest.approx(vmf_entropy(dimension, concentration), abs=0.02 * dimension)


def test_more_spread_samples_have_more_entropy():
    mean = np.eye(12)[0]
    spread = [fit_vmf(vonmises_fisher(mean, kappa, seed=0).rvs(200)).entropy for kappa in (1.0, 10.0, 100.0, 1e4)]
    assert spread == sorted(spread, reverse=True)


def test_equal_samples_have_the_highest_concentration_and_opposite_ones_none():
    north = np.array([[0.0, 0.0, 1.0]])
    assert fit_vmf(np.repeat(north, 4, axis=0)).concentration == HIGHEST_CONCENTRATION
    assert fit_vmf(np.concatenate([north, -north])).concentration == 0.0


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.ones((1, 3)) / math.sqrt(3), "N >= 2"),
        (np.ones((4, 1)), "n >= 2"),
        (np.ones((4, 3)), "unit vectors"),
    ],
)
def test_samples_that_cannot_be_fitted_are_refused(samples: np.ndarray, message: str):
    with pytest.raises(ModelsError, match=message):
        fit_vmf(samples)


@pytest.mark.parametrize(("dimension", "concentration"), [(1, 1.0), (3, -1.0), (3, math.inf), (3, math.nan)])
def test_entropy_of_nothing_is_refused(dimension: int, concentration: float):
    with pytest.raises(ModelsError, match="2 dimensions or more"):
        vmf_entropy(dimension, concentration)
