# SPDX-License-Identifier: MIT
"""Reports on the steps of phones' settings: which steps worked, and what a menu is called on a phone.

A report has neither a person nor a phone.  Equal reports of a tenant are one row with a count.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, text

from ldapgw.store.tables import columns_of, step_report, value_of

# The most rows of a tenant, so that nobody who is signed in can fill the database.
MAX_ROWS = 200


@dataclass(frozen=True, slots=True)
class StepReport:
    """A report, a row of the table ``step_report``.

    :ivar vendor: the key of the vendor's settings.
    :ivar model: the phone's model, as typed; empty if the report names none.
    :ivar version: the phone's firmware, as typed; empty if the report names none.
    :ivar step: the number of the step; 0 if all steps worked.
    :ivar menu: what the step's menu is called on the phone; empty if all steps worked.
    :ivar step_text: the step as the page had it at the last such report; empty if all steps worked.
    :ivar at: the time of the last such report, in seconds since the epoch.
    """

    tenant: str
    vendor: str
    model: str
    version: str
    step: int
    menu: str
    at: float
    count: int = 1
    step_text: str = ""


# The statement is an SQL text because SQLAlchemy has no common form of ON CONFLICT for all databases.
_COUNT = text("""
    INSERT INTO step_report (tenant, vendor, model, version, step, menu, step_text, count, at)
    VALUES (:tenant, :vendor, :model, :version, :step, :menu, :step_text, :count, :at)
    ON CONFLICT (tenant, vendor, model, version, step, menu) DO UPDATE SET
        count = step_report.count + excluded.count, at = excluded.at, step_text = excluded.step_text
""")


def add(connection: Connection, new: StepReport) -> bool:
    """Count a report.

    :returns: False if the tenant has `MAX_ROWS` rows already, and none of them is the same report.
    """
    of_tenant = select(func.count()).select_from(step_report).where(step_report.c.tenant == new.tenant)
    if connection.execute(of_tenant).scalar_one() >= MAX_ROWS:
        same = [column == getattr(new, column.name) for column in step_report.primary_key.columns]
        if connection.execute(select(step_report.c.count).where(*same)).first() is None:
            return False
    connection.execute(_COUNT, columns_of(new))
    return True


def read(connection: Connection, tenant: str) -> tuple[StepReport, ...]:
    """Read the reports of a tenant, sorted by vendor, model, firmware, step and menu."""
    query = select(step_report).where(step_report.c.tenant == tenant).order_by(*step_report.primary_key.columns)
    return tuple(value_of(StepReport, row) for row in connection.execute(query))


def remove_all(connection: Connection, tenant: str) -> bool:
    """Delete the reports of a tenant, and return whether there were any."""
    return connection.execute(delete(step_report).where(step_report.c.tenant == tenant)).rowcount > 0
