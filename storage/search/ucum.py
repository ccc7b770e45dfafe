"""Quantities in one unit per dimension, so that `g` and `mg` compare (FHIR R4 search.html#quantity, UCUM §2.4, §4).

Linear units are converted with exact rational factors; a unit that the table does not have, and every arbitrary or
logarithmic one, stays as it is and is compared literally.
"""

import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from capability.data_files import read_data

UCUM: Final = "http://unitsofmeasure.org"

_LONGEST: Final = 80
"""Characters of a unit expression that is still taken apart; a longer one is compared literally."""

_COMPONENT: Final = re.compile(
    r"""(?P<annotation>\{[^{}]*\})
    | (?P<symbol>10[*^] | (?:\[[^\[\]\s]+\] | [A-Za-z%'"_])+)(?P<exponent>[+-]?\d{1,2})?
    | (?P<factor>\d{1,30})
    | (?P<mark>[./()])""",
    re.VERBOSE,
)
_EXACT: Final = Context(prec=2000, Emax=MAX_EMAX, Emin=MIN_EMIN)
_ROUNDED: Final = Context(prec=50, Emax=MAX_EMAX, Emin=MIN_EMIN)

_TABLE: Final[dict[str, Any]] = read_data("ucum.json")
_UNITS: Final[dict[str, list[Any]]] = _TABLE["units"]
_PREFIXES: Final[dict[str, int]] = _TABLE["prefixes"]
_AFFINE: Final[dict[str, tuple[Decimal, Decimal, Decimal]]] = {
    code: (Decimal(shift), Decimal(numerator), Decimal(denominator))
    for code, (shift, numerator, denominator) in _TABLE["affine"].items()
}


class _Unit(NamedTuple):
    """A factor and the exponents of base units, sorted by name."""

    factor: Fraction
    dimensions: tuple[tuple[str, int], ...]


class _Conversion(NamedTuple):
    """`value * numerator / denominator`, in the unit written `code`; a denominator of 1 loses no digit."""

    numerator: Decimal
    denominator: Decimal
    code: str


def canonical_quantity(value: Decimal, code: str) -> tuple[Decimal, str]:
    """Return a UCUM quantity in base units, with the canonical spelling of those.

    Values keep every digit, save where the factor is no finite decimal (`/min` in 1/s): there 50 significant digits
    are kept, and order is. A unit that cannot be converted is returned as given.
    """
    if code in _AFFINE:
        shift, numerator, denominator = _AFFINE[code]
        return _ROUNDED.divide(_EXACT.multiply(_EXACT.add(value, shift), numerator), denominator), "K"
    conversion = _conversion(code)
    if conversion is None:
        return value, code
    product = _EXACT.multiply(value, conversion.numerator)
    if conversion.denominator != 1:
        product = _ROUNDED.divide(product, conversion.denominator)
    return product, conversion.code


@lru_cache(maxsize=2048)
def _conversion(code: str) -> _Conversion | None:
    unit = _parse(code) if len(code) <= _LONGEST else None
    if unit is None:
        return None
    spelled = ".".join(name if power == 1 else f"{name}{power}" for name, power in unit.dimensions) or "1"
    numerator, denominator = unit.factor.numerator, unit.factor.denominator
    twos, fives, rest = _split_ten(denominator)
    if rest != 1:
        return _Conversion(Decimal(numerator), Decimal(denominator), spelled)
    places = max(twos, fives)
    whole = numerator * 2 ** (places - twos) * 5 ** (places - fives)
    return _Conversion(_EXACT.scaleb(Decimal(whole), -places), Decimal(1), spelled)


def _split_ten(number: int) -> tuple[int, int, int]:
    """Return how often 2 and 5 divide a number, and what is left of it."""
    powers = []
    for prime in (2, 5):
        count = 0
        while number % prime == 0:
            number //= prime
            count += 1
        powers.append(count)
    return powers[0], powers[1], number


def _parse(code: str) -> _Unit | None:
    """Return what a unit expression stands for; None when it is no UCUM expression of known linear units."""
    tokens = []
    at = 0
    while at < len(code):
        match = _COMPONENT.match(code, at)
        if match is None:
            return None
        tokens.append(match)
        at = match.end()
    reader = _Reader(tokens)
    unit = reader.term() if tokens else None
    return unit if unit is not None and reader.done() else None


class _Reader:
    """Reads the tokens of one unit expression from left to right (UCUM §2.1 grammar)."""

    def __init__(self, tokens: list[re.Match[str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def done(self) -> bool:
        """Say whether nothing is left."""
        return self._at == len(self._tokens)

    def term(self) -> _Unit | None:
        """Read `a.b/c`, also with a leading `/`; None when it makes no sense."""
        sign = -1 if self._take("/") else 1
        total = self._component()
        if total is not None and sign < 0:
            total = _power(total, -1)
        while total is not None and not self.done():
            if self._take("."):
                sign = 1
            elif self._take("/"):
                sign = -1
            else:
                return total
            factor = self._component()
            total = None if factor is None else _product(total, _power(factor, sign))
        return total

    def _take(self, mark: str) -> bool:
        if not self.done() and self._tokens[self._at]["mark"] == mark:
            self._at += 1
            return True
        return False

    def _component(self) -> _Unit | None:
        if self._take("("):
            inner = self.term()
            return inner if inner is not None and self._take(")") else None
        if self.done():
            return None
        token = self._tokens[self._at]
        if token["mark"]:
            return None
        self._at += 1
        if token["annotation"]:
            return _Unit(Fraction(1), ())
        unit = _factor(token["factor"]) if token["factor"] else _symbol(token["symbol"])
        if unit is not None and token["exponent"]:
            unit = _power(unit, int(token["exponent"]))
        while not self.done() and self._tokens[self._at]["annotation"]:
            self._at += 1
        return unit


def _factor(digits: str) -> _Unit | None:
    return _Unit(Fraction(int(digits)), ()) if int(digits) else None


@cache
def _known(symbol: str) -> _Unit:
    """Return a unit of the table in base units."""
    row = _UNITS[symbol]
    if len(row) == 1:
        return _Unit(Fraction(1), ((symbol, 1),))
    inner = _parse(row[2])
    if inner is None:
        raise ValueError(f"ucum.json: {symbol} is expressed in an unknown unit")
    return _Unit(Fraction(row[1]) * inner.factor, inner.dimensions)


def _symbol(symbol: str) -> _Unit | None:
    """Return a unit symbol, with or without a metric prefix."""
    if symbol in _UNITS:
        return _known(symbol)
    for length in (2, 1):
        prefix, rest = symbol[:length], symbol[length:]
        if prefix in _PREFIXES and rest in _UNITS and _UNITS[rest][0]:
            unit = _known(rest)
            return _Unit(unit.factor * Fraction(10) ** _PREFIXES[prefix], unit.dimensions)
    return None


def _product(left: _Unit, right: _Unit) -> _Unit:
    powers = dict(left.dimensions)
    for name, power in right.dimensions:
        powers[name] = powers.get(name, 0) + power
    return _Unit(left.factor * right.factor, tuple(sorted((n, p) for n, p in powers.items() if p)))


def _power(unit: _Unit, exponent: int) -> _Unit:
    return _Unit(unit.factor**exponent, tuple((n, p * exponent) for n, p in unit.dimensions if exponent))
