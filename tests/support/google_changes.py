# SPDX-License-Identifier: MIT
"""Changes at Google that the sandbox's control page does not offer: a renamed account, and a deleted label."""

from __future__ import annotations

from ldapgw.google.sandbox import fields
from ldapgw.google.sandbox.world import World, labels_of, membership


def rename_account(world: World, address: str, new: str) -> None:
    """Give an account another address; the account's ``sub`` stays the same, and the former address is an alias."""
    account = world.account(address)
    account.address = new
    account.aliases.append(address)
    world.accounts = {account.address: account for account in world.accounts.values()}
    for group in list(world.workspaces.groups.values()):
        members = [new if member == address else member for member in group.members]
        world.workspaces.set_group(group.address, group.name, members)


def delete_label(world: World, address: str, resource_name: str) -> None:
    """Delete a contact group and the memberships in it; its members stay."""
    account = world.account(address)
    metadata = {"updateTime": fields.timestamp(world.time()), "deleted": True}
    account.groups.delete({"resourceName": resource_name, "metadata": metadata})
    for person in [person for person in account.contacts if resource_name in labels_of(person)]:
        others = [membership(label) for label in sorted(labels_of(person) - {resource_name})]
        world.change_person(address, person["resourceName"], {"memberships": others})
