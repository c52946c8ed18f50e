# SPDX-License-Identifier: MIT
"""The files of ``[[tenant.file]]`` as the tasks to build their books, and their check by ``ldapgw check``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ldapgw.contact import Sharing
from ldapgw.files.reading import MOST_LINES, FileReport
from ldapgw.server.check_result import CheckResult, CheckStatus
from ldapgw.server.config import Tenant
from ldapgw.sync.file_book_builder import FileTask, examine

# The most columns that a report names.
_MOST_COLUMNS = 12


def file_tasks(tenant: Tenant, *, per_number: bool = False) -> tuple[FileTask, ...]:
    """Return the tasks to build the books of a tenant's files.

    :param per_number: whether to build also one entry for each number.
    """
    context = tenant.naming_context()
    return tuple(
        FileTask(context, str(file.name), Path(file.path), Sharing(file.sharing), per_number) for file in tenant.file
    )


def check_files(tenant: Tenant) -> Iterator[CheckResult]:
    """Read the files of a tenant, and name each line that has a problem."""
    for file in tenant.file:
        report = examine(Path(file.path), tenant.region)
        item = f"tenant {tenant.name}: file {file.name} = {file.path}"
        if report.is_good:
            yield CheckResult(CheckStatus.OK, item, _summary(report), is_setting=True)
            continue
        for problem in report.problems[:MOST_LINES]:
            place = f"{item}: line {problem.line}" if problem.line else item
            yield CheckResult(CheckStatus.FAILED, place, str(problem.reason), is_setting=True)
        if report.problem_count > MOST_LINES:
            more = report.problem_count - MOST_LINES
            message = f"{more} more line{' has' if more == 1 else 's have'} a problem"
            yield CheckResult(CheckStatus.FAILED, item, message, is_setting=True)


def _summary(report: FileReport) -> str:
    contacts = f"{report.contacts} contact{'' if report.contacts == 1 else 's'}"
    if not report.ignored:
        return contacts
    names = ", ".join(map(str, report.ignored[:_MOST_COLUMNS])) + (", …" if report.ignored[_MOST_COLUMNS:] else "")
    return f"{contacts}; ignored columns: {names}"
