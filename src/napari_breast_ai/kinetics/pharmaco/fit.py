"""Tofts models fitted voxel by voxel, many voxels at once.

Models (Tofts 1997, doi:10.1002/jmri.1880070113; Tofts et al. 1999, doi:10.1002/(SICI)1522-2586(199909)10:3<223::AID-
JMRI2>3.0.CO;2-S; Patlak et al. 1983, doi:10.1038/jcbfm.1983.1), with the plasma input c_p and * for convolution:

    Tofts:           C(t) = Ktrans c_p * exp(-kep t)
    extended Tofts:  C(t) = vp c_p(t) + Ktrans c_p * exp(-kep t),        ve = Ktrans / kep
    Patlak:          C(t) = vp c_p(t) + Ktrans c_p * 1                   (nothing flows back)

Method: variable projection (Golub and Pereyra 1973, doi:10.1137/0710036). For a given kep the best Ktrans and vp inside
their bounds have a closed form, so the sum of squared residuals is a function of kep alone. It is evaluated at rates of
the study's `Table` over the whole range (one matrix product for all voxels), which finds the valley of the least sum and
not just the nearest one; from there the root of its slope is found between two rates. No start values are needed, and
the result is the least-squares optimum inside the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core import Progress, silent
from .convolution import exponential_convolution
from .errors import PharmacoError
from .inputs import ArterialInput
from .linear import Products, best_linear
from .roots import rising_roots
from .table import Table, checked_times, make_table, polynomial

Array = NDArray[np.float64]
Real = NDArray[np.float64] | NDArray[np.float32]
Solved = tuple[Array, Array, Array, Array]

MODELS = ("tofts", "extended-tofts", "patlak")
PARAMETERS = {"tofts": 2, "extended-tofts": 3, "patlak": 2}
"""Free parameters of each model."""

_CHUNK = 4096
_TOLERANCE = 1e-9
_EXACT = 1e-15
_EVERY = 3
_CLOSE = 1e-7
_MINUTE = 60.0


@dataclass(frozen=True)
class Bounds:
    """What parameters may be.

    Attributes:
        ktrans: highest Ktrans, 1/min; the lowest is 0.
        ve: highest ve; the lowest is 0.
        vp: highest vp; the lowest is 0.
        kep: lowest and highest kep that are looked at, 1/min.
    """

    ktrans: float = 5.0
    ve: float = 1.0
    vp: float = 1.0
    kep: tuple[float, float] = (1e-3, 50.0)

    def problems(self) -> list[str]:
        """What is wrong with them, in sentences."""
        found = []
        if min(self.ktrans, self.ve, self.vp) <= 0:
            found.append("The highest Ktrans, ve and vp must be above 0.")
        if not 0 < self.kep[0] < self.kep[1]:
            found.append("The lowest kep must be above 0 and below the highest.")
        return found


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitted parameters, an array each, of the shape of the voxels. A voxel that was not fitted is 0 everywhere.

    Attributes:
        model: one of `MODELS`.
        ktrans: volume transfer constant, 1/min.
        kep: rate of return, 1/min; 0 for Patlak, and where nothing is taken up (Ktrans 0).
        ve: volume share of the extravascular extracellular space, from 0 to 1; 0 for Patlak.
        vp: volume share of the plasma, from 0 to 1; 0 for Tofts.
        r2: coefficient of determination, 1 for a perfect fit; below 0 where a constant would fit better.
        rmse: root of the mean squared residual, mM.
        aicc: Akaike's criterion for small samples (Hurvich and Tsai 1989, doi:10.1093/biomet/76.2.297), of least
            squares; the model with the lower one is to be preferred in a voxel. 0 where phases are too few for it.
        fitted: bool, whether the voxel was fitted.
        at_bound: bool, whether a fitted parameter stands at a bound other than 0.
    """

    model: str
    ktrans: Real
    kep: Real
    ve: Real
    vp: Real
    r2: Real
    rmse: Real
    aicc: Real
    fitted: NDArray[np.bool_]
    at_bound: NDArray[np.bool_]


class Fitter:
    """A model ready to be fitted to any number of curves of one study: what they share is computed here, once."""

    def __init__(
        self,
        times_s: ArrayLike,
        arterial: ArterialInput,
        model: str = "extended-tofts",
        bounds: Bounds | None = None,
    ) -> None:
        """Compute the table of the study.

        Args:
            times_s: of the phases, rising, seconds.
            arterial: plasma input on the same clock.
            model: one of `MODELS`.
            bounds: of the parameters; the usual ones where None.

        Raises:
            PharmacoError: the model is unknown, phases are too few or have no times, or the input does not fit.
        """
        self.bounds = _checked(model, bounds)
        self.model = model
        self.times_s = checked_times(times_s)
        if self.times_s.size <= PARAMETERS[model]:
            raise PharmacoError(
                f"The model “{model}” has {PARAMETERS[model]} parameters and needs more than {PARAMETERS[model]} "
                f"phases; this study has {self.times_s.size}. Choose the model “tofts”, or use the kinetic maps."
            )
        self._table = make_table(self.times_s, arterial, self.bounds.kep)
        self._integral = model_curves(self.times_s, arterial, 1.0) if model == "patlak" else None

    def fit(
        self,
        concentration_mM: ArrayLike,
        valid: ArrayLike | None = None,
        progress: Progress = silent,
    ) -> Fit:
        """Fit each curve.

        Args:
            concentration_mM: tissue concentration, shape (phases, ...): one curve or any array of them.
            valid: bool, of the voxels' shape: which to fit. Curves with values that are no numbers are never fitted.
            progress: called per few thousand voxels; may raise `Cancelled`.

        Raises:
            PharmacoError: the curves do not have the study's number of phases.
        """
        data = np.asarray(concentration_mM)
        phases = self.times_s.size
        if data.shape[:1] != (phases,):
            raise PharmacoError(
                f"There are concentrations of {data.shape[0] if data.ndim else 0} phases, but times of {phases}. Read "
                "the study again."
            )
        curves = data.reshape(phases, -1)
        wanted = np.isfinite(curves).all(axis=0)
        if valid is not None:
            wanted &= np.broadcast_to(np.asarray(valid, bool), data.shape[1:]).ravel()
        chosen = np.flatnonzero(wanted)
        out = np.zeros((7, curves.shape[1]))
        at_bound = np.zeros(curves.shape[1], bool)
        for done in range(0, chosen.size, _CHUNK):
            progress(done, chosen.size, "Fitting")
            part = chosen[done : done + _CHUNK]
            c = curves[:, part].astype(np.float64)
            if self._integral is not None:
                solved = _patlak(c, self._table, self._integral, self.bounds)
            else:
                solved = solve_tofts(c, self._table, self.bounds, self.model)
            out[:, part], at_bound[part] = _figures(c, solved, self.model, self.bounds)
        progress(chosen.size, chosen.size, "Fitting")
        shape = data.shape[1:]
        ktrans, kep, ve, vp, r2, rmse, aicc = (one.reshape(shape) for one in out)
        fitted, bound = wanted.reshape(shape), at_bound.reshape(shape)
        return Fit(self.model, ktrans, kep, ve, vp, r2, rmse, aicc, fitted, bound)


def fit_curves(
    concentration_mM: ArrayLike,
    times_s: ArrayLike,
    arterial: ArterialInput,
    model: str = "extended-tofts",
    bounds: Bounds | None = None,
    valid: ArrayLike | None = None,
    progress: Progress = silent,
) -> Fit:
    """`Fitter` and `Fitter.fit` in one."""
    return Fitter(times_s, arterial, model, bounds).fit(concentration_mM, valid, progress)


def model_curves(
    times_s: ArrayLike,
    arterial: ArterialInput,
    ktrans: ArrayLike,
    kep: ArrayLike = 0.0,
    vp: ArrayLike = 0.0,
) -> Array:
    """The concentration that a model gives, exactly (without the table): shape (phases, ...), mM.

    Args:
        times_s: of the phases, seconds.
        arterial: plasma input on the same clock.
        ktrans: 1/min; with kep and vp broadcast to the shape of the voxels.
        kep: 1/min; 0 for Patlak's model.
        vp: 0 for Tofts' model.
    """
    times = np.asarray(times_s, np.float64)
    k, rate, v = np.broadcast_arrays(*(np.asarray(one, np.float64) for one in (ktrans, kep, vp)))
    moments = (times - arterial.delay_s) / _MINUTE
    rates, own = np.unique(rate, return_inverse=True)
    shapes = exponential_convolution(arterial.times_s / _MINUTE, arterial.plasma_mM, rates, moments)
    curves = k.ravel() * shapes.T[:, own.ravel()] + v.ravel() * arterial.at(times)[:, np.newaxis]
    result: Array = curves.reshape(times.size, *k.shape)
    return result


def _checked(model: str, bounds: Bounds | None) -> Bounds:
    if model not in MODELS:
        raise PharmacoError(f"There is no model “{model}”. Choose one of: {', '.join(MODELS)}.")
    limits = bounds or Bounds()
    if limits.problems():
        raise PharmacoError(" ".join(limits.problems()))
    return limits


def _patlak(c: Array, table: Table, integral: Array, limits: Bounds) -> Solved:
    """Ktrans, kep, vp and the sum less c · c."""
    products = Products(
        integral @ c,
        table.plasma @ c,
        np.full(c.shape[1], integral @ integral),
        np.full(c.shape[1], integral @ table.plasma),
        table.plasma_power,
    )
    ktrans, vp, total = best_linear(products, np.full(c.shape[1], limits.ktrans), limits.vp)
    return ktrans, np.zeros_like(ktrans), vp, total


def solve_tofts(c: Array, table: Table, limits: Bounds, model: str) -> Solved:
    """Ktrans, kep, vp and the least sum of squares less c · c, of curves of shape (phases, voxels)."""
    highest_vp = limits.vp if model == "extended-tofts" else 0.0
    with_plasma = table.plasma @ c
    rates = np.exp(table.logarithms)
    ceiling = np.minimum(limits.ktrans, limits.ve * rates)
    node = _best_rate(c, with_plasma, table, ceiling, highest_vp)
    # The slope at the best rate says on which side of it the valley goes on.
    across = np.ascontiguousarray(c.T)
    at_node = Products(
        np.einsum("vp,vp->v", table.shapes[node], across),
        with_plasma,
        table.power[node],
        table.with_plasma[node],
        table.plasma_power,
    )
    slopes = (
        np.einsum("vp,vp->v", table.slopes[node], across),
        table.power_slopes[node],
        table.with_plasma_slopes[node],
    )
    slope = _slope(at_node, slopes, ceiling[node], limits, highest_vp, table.step)
    left = np.clip(np.where(slope > 0, node - 1, node), 0, rates.size - 2)
    valley = _Valley(c, with_plasma, table, limits, highest_vp, left)
    everyone = np.arange(node.size)
    begin, end = np.zeros(node.size), np.ones(node.size)
    far = valley.slope((node == left).astype(np.float64), everyone)
    place = rising_roots(
        valley.slope,
        begin,
        end,
        np.where(node == left, slope, far),
        np.where(node == left, far, slope),
        _TOLERANCE,
    )
    # Beyond the first and the last rate there is nothing to look for.
    place = np.where((node == 0) & (slope >= 0), 0.0, place)
    place = np.where((node == rates.size - 1) & (slope <= 0), 1.0, place)
    products, top, _ = valley.products(place, everyone)
    ktrans, vp, total = best_linear(products, top, highest_vp)
    kep = np.exp(table.logarithms[left] + place * table.step)
    return ktrans, np.where(ktrans > 0, kep, 0.0), vp, total


def _best_rate(
    c: Array, with_plasma: Array, table: Table, ceiling: Array, highest_vp: float
) -> NDArray[np.intp]:
    """The number of the rate with the least sum of squares, no less than at the rates beside it.

    Every third rate is tried for all voxels at once, then those between the best and its neighbours.
    """

    def held(shape: Array, which: NDArray[np.intp]) -> Products:
        power, mixed = table.power[which], table.with_plasma[which]
        return Products(shape, with_plasma, power, mixed, table.plasma_power)

    some = np.arange(0, table.logarithms.size, _EVERY)[:, np.newaxis]
    totals = best_linear(held(table.shapes[::_EVERY] @ c, some), ceiling[some], highest_vp)[2]
    best = _EVERY * totals.argmin(axis=0)
    near = best + np.arange(1 - _EVERY, _EVERY)[:, np.newaxis]
    near = np.clip(near, 0, table.logarithms.size - 1)
    across = np.ascontiguousarray(c.T)
    shape = np.stack([np.einsum("vp,vp->v", table.shapes[row], across) for row in near])
    totals = best_linear(held(shape, near), ceiling[near], highest_vp)[2]
    chosen: NDArray[np.intp] = np.take_along_axis(near, totals.argmin(axis=0)[np.newaxis], axis=0)[0]
    return chosen


class _Valley:
    """The sum of squares of each voxel between two neighbouring rates, with Ktrans and vp at their best."""

    def __init__(
        self,
        c: Array,
        with_plasma: Array,
        table: Table,
        limits: Bounds,
        highest_vp: float,
        left: NDArray[np.intp],
    ) -> None:
        self._table, self._limits, self._highest_vp = table, limits, highest_vp
        self._with_plasma, self._left = with_plasma, left
        self._shape = np.empty((6, left.size))
        order = np.argsort(left, kind="stable")
        starts = np.flatnonzero(np.diff(left[order])) + 1
        for group in np.split(order, starts):
            self._shape[:, group] = table.pieces[left[group[0]]] @ c[:, group]
        self._power = np.ascontiguousarray(table.power_pieces[left].T)
        self._mixed = np.ascontiguousarray(table.with_plasma_pieces[left].T)

    def products(self, u: Array, which: NDArray[np.intp]) -> tuple[Products, Array, tuple[Array, ...]]:
        """Inner products at places u, the highest Ktrans there, and the products' slopes by u."""
        a, a1 = polynomial(self._shape[:, which], u)
        p, p1 = polynomial(self._power[:, which], u)
        q, q1 = polynomial(self._mixed[:, which], u)
        rate = np.exp(self._table.logarithms[self._left[which]] + u * self._table.step)
        ceiling = np.minimum(self._limits.ktrans, self._limits.ve * rate)
        held = Products(a, self._with_plasma[which], p, q, self._table.plasma_power)
        return held, ceiling, (a1, p1, q1)

    def slope(self, u: Array, which: NDArray[np.intp]) -> Array:
        """Slope of the sum by u."""
        held, ceiling, slopes = self.products(u, which)
        return _slope(held, slopes, ceiling, self._limits, self._highest_vp, self._table.step)


def _slope(
    held: Products,
    slopes: tuple[Array, ...],
    ceiling: Array,
    limits: Bounds,
    highest_vp: float,
    step: float,
) -> Array:
    """How the least sum changes with u.

    At the best Ktrans and vp only the explicit dependence counts (envelope theorem); where Ktrans stands at a ceiling
    that rises with kep (ve at its bound), the ceiling's own rise counts too.
    """
    k, v, _ = best_linear(held, ceiling, highest_vp)
    a1, p1, q1 = slopes
    slope: Array = k * (k * p1 - 2 * a1 + 2 * v * q1)
    tied = (k >= ceiling) & (ceiling < limits.ktrans)
    pull = 2 * (k * held.power - held.shape + v * held.mixed)
    slope += np.where(tied, np.minimum(pull, 0.0) * ceiling * step, 0.0)
    return slope


def _figures(
    c: Array, solved: Solved, model: str, limits: Bounds
) -> tuple[tuple[Array, ...], NDArray[np.bool_]]:
    """Ktrans, kep, ve, vp, R², RMSE and AICc of curves, and whether a parameter stands at a bound."""
    ktrans, kep, vp, total = solved
    n = c.shape[0]
    power = np.einsum("pv,pv->v", c, c)
    left_over = np.maximum(power + total, 0.0)
    spread = ((c - c.mean(axis=0)) ** 2).sum(axis=0)
    ve = np.divide(ktrans, kep, out=np.zeros_like(ktrans), where=kep > 0)
    r2 = 1 - np.divide(left_over, spread, out=np.ones_like(spread), where=spread > 0)
    parameters = PARAMETERS[model] + 1  # and the variance
    aicc = np.zeros_like(power)
    if n > parameters + 1:
        floor = np.maximum(left_over, _EXACT * power)  # a perfect fit has no logarithm
        seen = floor > 0
        aicc[seen] = n * np.log(floor[seen] / n)
        aicc[seen] += 2 * parameters * n / (n - parameters - 1)
    at_bound = (ktrans >= limits.ktrans) | (vp >= limits.vp)
    if model != "patlak":
        low, high = limits.kep
        close = 1 - _CLOSE
        at_bound |= ve >= limits.ve * close
        at_bound |= (ktrans > 0) & ((kep <= low / close) | (kep >= high * close))
    return (ktrans, kep, ve, vp, r2, np.sqrt(left_over / n), aicc), at_bound
