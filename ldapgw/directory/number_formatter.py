# SPDX-License-Identifier: MIT
"""Number formats of phones: turns the numbers of an entry, which are in the tenant's format, into a phone's format.

In lenient matching an entry's search text has each number with its country, so that every number is turned.  In strict
matching the written number is parsed again, and a number that cannot be read stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ldapgw.directory import normalization
from ldapgw.numbers import phone_number
from ldapgw.numbers.number import Number
from ldapgw.numbers.phone_number import NumberFormat

# The formats of single phones.  Entries do not have what a person typed, so "typed" is a format of whole tenants.
PHONE_FORMATS: Final = tuple(form for form in NumberFormat if form is not NumberFormat.TYPED)


def parse_written(text: str, form: NumberFormat, region: str, outside_line: str) -> Number | None:
    """Parse a number that was written in a format; None: it cannot be read.

    :param form: in the format ``dial``, only numbers with a country can be told from their outside line.
    """
    if form is not NumberFormat.DIAL:
        return phone_number.parse(text, region)
    number = phone_number.parse(text.removeprefix(outside_line), region)
    return number if number is not None and number.e164 else None


class NumberFormatter(NamedTuple):
    """Turns numbers from a tenant's format into a phone's; a named tuple, because it is a part of a viewer.

    :ivar target: the phone's format.
    :ivar source: the tenant's format.
    :ivar region: the country of numbers without a country code (ISO 3166-1).
    :ivar outside_line: digits dialled for an outside line.
    """

    target: NumberFormat
    source: NumberFormat
    region: str
    outside_line: str

    def value(self, text: str, line: str) -> str:
        """A number in the phone's format.

        :param text: the number in the tenant's format.
        :param line: the number's line in the search text of its attribute (`ldapgw.directory.normalization`).
        """
        if normalization.is_number_line(line):
            number: Number | None = normalization.number_of(line)
        else:
            number = parse_written(text, self.source, self.region, self.outside_line)
        if number is None:
            return text
        return phone_number.format_number(number, self.target, self.region, self.outside_line)

    def original(self, text: str) -> str:
        """A number in the tenant's format again, as far as the phone's format tells; ``typed`` cannot be restored.

        :param text: the number in the phone's format.
        """
        number = parse_written(text, self.target, self.region, self.outside_line)
        return phone_number.format_number(number, self.source, self.region, self.outside_line) if number else text

    def values(self, values: Iterable[bytes], search_text: str) -> tuple[bytes, ...]:
        """The values of an attribute in the phone's format; of equal ones only the first.

        :param values: the values in the tenant's format.
        :param search_text: of the attribute.
        """
        lines = normalization.lines_of(search_text)
        formatted = [self.value(value.decode(), line).encode() for value, line in zip(values, lines, strict=True)]
        return tuple(dict.fromkeys(formatted))
