"""HTTP dates, and the two conditional headers that reads look at.

``weed/server/volume_server_handlers_read.go: GetOrHeadHandler`` evaluates If-Modified-Since first
and If-None-Match only when that did not match; no other conditional header has a meaning.
"""

import re
from functools import lru_cache
from typing import Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_MONTH_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_SECONDS_A_DAY: Final = 86400

# Go's time.Parse with the layout "Mon, 02 Jan 2006 15:04:05 GMT": names in any case, the weekday
# unchecked, blanks of the layout match runs, the hour may have one digit, a fraction may follow.
_IMF_FIXDATE: Final = re.compile(
    r"(?:mon|tue|wed|thu|fri|sat|sun), +([0-9]{2}) +([a-z]{3}) +([0-9]{4})"
    r" +([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]+)? +(?-i:GMT)",
    re.IGNORECASE | re.ASCII,
)


def parse_http_date(text: str) -> int | None:
    """Unix seconds of an IMF-fixdate; None for every other form (RFC 850, asctime, UTC)."""
    match = _IMF_FIXDATE.fullmatch(text)
    if not match:
        return None
    month = _MONTH_NUMBERS.get(match[2].lower())
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    if month is None or hour > 23 or minute > 59 or second > 59:
        return None
    leap_day = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _MONTH_LENGTHS[month - 1] + leap_day:
        return None
    return ((_days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second


@lru_cache(maxsize=4096)
def http_date(seconds: int) -> str:
    """IMF-fixdate of Unix seconds; years beyond 9999 simply take more digits."""
    days, rest = divmod(seconds, _SECONDS_A_DAY)
    year, month, day = _civil_from_days(days)
    hour, rest = divmod(rest, 3600)
    minute, second = divmod(rest, 60)
    return (
        f"{_DAYS[(days + 3) % 7]}, {day:02d} {_MONTHS[month - 1]} {year:04d} "
        f"{hour:02d}:{minute:02d}:{second:02d} GMT"
    )


def not_modified_since(header: str, last_modified: int) -> bool:
    """Whether If-Modified-Since makes a read of something stored at ``last_modified`` a 304.

    ``last_modified`` is in Unix seconds, 0 when the needle has none (then nothing matches).
    """
    if not header or last_modified == 0:
        return False
    since = parse_http_date(header)
    return since is not None and since >= last_modified


def none_match(header: str, etag: str) -> bool:
    """Whether If-None-Match names exactly this tag: one strong tag, in quotes.

    ``etag`` comes without quotes.
    """
    return header == f'"{etag}"'


def _days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar; years start in March here."""
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468


def _civil_from_days(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = (shifted_month + 2) % 12 + 1
    return era * 400 + year_of_era + (month <= 2), month, day
