"""Numbers as Go prints them for Prometheus (strconv.AppendFloat with 'g' and -1).

In a label, as the bound of a bucket, a number is a text: ``1.0`` would be another series than ``1``.
"""

import math
from decimal import Decimal
from typing import Final

_EXPONENT_MIN: Final = -4
_EXPONENT_END: Final = 6
"""From here on Go writes an exponent."""


def go_float(value: float) -> str:
    """The shortest text that reads back as ``value``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    number = Decimal(repr(float(value))).normalize()
    exponent = number.adjusted()
    if _EXPONENT_MIN <= exponent < _EXPONENT_END:
        return f"{number:f}"
    digits = "".join(map(str, number.as_tuple().digits))
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[0]}{tail}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
