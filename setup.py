# SPDX-License-Identifier: MIT
"""Compiles the modules that every search uses if ``LDAPGW_COMPILE=1`` is set; everything else is in setup.cfg.

Compiled by mypyc, the same modules take half the time (docs/decisions/0042).  Without it they run as they are.
"""

import os
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Searches use these modules, replication encodes the whole directory with them, and a first sync spends most of its
# time in the modules that convert persons.
COMPILED = (
    *("ber", "numbers/*", "directory/*", "ldap/*", "phones/search_log", "server/counters", "ldap/replication/*"),
    *("google/person", "google/person_text", "phones/book_formats", "phones/contact_list"),
)
# These modules stay Python: mypyc's frozen dataclasses cannot go to another process, mypyc drops parameters of
# annotations that msgspec reads (tests/test_wire_types.py), classes of Twisted and zope cannot be compiled, only code
# that is not compiled lets other threads run (directory/interruptible), and some code runs only once.
NOT_COMPILED = {
    *("directory/__init__", "directory/access", "directory/book", "directory/dit"),
    *("directory/filter", "directory/interruptible", "directory/naming_context", "directory/schema"),
    *("directory/shared_books", "directory/sort", "directory/special_entries", "directory/transliteration"),
    *("ldap/__init__", "ldap/connection", "ldap/limits", "ldap/server", "numbers/__init__"),
    *("ldap/replication/__init__", "ldap/replication/slapd"),
}


def compiled_modules() -> list[str]:
    """Return the paths of the modules that are compiled."""
    found = (path.as_posix() for name in COMPILED for path in sorted(Path("ldapgw").glob(f"{name}.py")))
    return [path for path in found if path.removeprefix("ldapgw/").removesuffix(".py") not in NOT_COMPILED]


class BuildPackages(build_py):
    """Builds the packages without the files of an earlier build, which may be of another commit."""

    def run(self) -> None:
        if not self.editable_mode:
            # An earlier build may have compiled other modules, or have ended while it packed its wheel.
            unfinished = Path(self.get_finalized_command("build").build_base).glob("bdist.*")
            for left in (self.build_lib, *unfinished):
                shutil.rmtree(left, ignore_errors=True)
        super().run()


commands = {"build_py": BuildPackages}
compiler = ["mypy[mypyc] >=2.0"]
if os.environ.get("LDAPGW_COMPILE") != "1":
    setup(cmdclass=commands)
elif {"dist_info", "egg_info"} & set(sys.argv):
    # pip asks for the requirements and the metadata first: nothing is translated for these.
    setup(cmdclass=commands, setup_requires=compiler)
else:
    try:
        from mypyc.build import mypycify
    except ImportError:
        setup(cmdclass=commands, setup_requires=compiler)
    else:
        # Without the types of other packages, the compiler takes a third less time, and searches are as fast.
        settings = ["--config-file=", "--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent"]
        # The variable is the one of mypy's own builds: tests need no fast code, and the compiler takes minutes for it.
        # Level 3 takes a quarter more time than level 2, and searches are not faster.
        level = os.environ.get("MYPYC_OPT_LEVEL", "2")
        modules = compiled_modules()
        # Two processors compile two libraries at once.  A search crosses from one to the other a few times, and
        # a short command loads the first alone.
        folders = tuple(f"ldapgw/{name}" for name in ("ber.py", "directory/", "google/", "numbers/"))
        people = [path for path in modules if path.startswith(folders)]
        protocol = [path for path in modules if path not in people]
        groups = [(people, "ldapgw_directory"), (protocol, "ldapgw_ldap")]
        extensions = mypycify([*settings, *modules], opt_level=level, debug_level="0", separate=groups)
        for extension in extensions:
            # Functions of one library call each other as they are, not as whatever another library may name likewise.
            extension.extra_compile_args.append("-fno-semantic-interposition")
            # Nobody corrects the C code that mypyc writes, and the compiler spends most of its time on these warnings.
            extension.extra_compile_args.append("-Wno-all")
        setup(cmdclass=commands, ext_modules=extensions, options={"build_ext": {"parallel": True}})
