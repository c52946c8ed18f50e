# SPDX-License-Identifier: MIT
"""Phones of each vendor ask a provisioning server for their files when they start, as the boots in this module do.

This is as vendors' documents and public provisioning servers have it; nobody has tried a real phone.  WZ is
wazo-provd-plugins, TAN tancredi, NV NethVoice's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

# A phone gets a status and a text for the name of a file.
Get = Callable[[str], tuple[int, str]]


@dataclass(frozen=True)
class Boot:
    """A phone starts in this way.

    :ivar vendor: the key of its vendor.
    :ivar mac: 12 digits in lower case.
    :ivar names: what it asks for one after the other if the address from the DHCP server ends with a slash; {mac},
        {MAC} and {model} stand for its own.
    :ivar macros: what it puts in the place of its placeholders in the address.
    :ivar follows: reads which further files a file names.
    :ivar source: where this is documented.
    """

    vendor: str
    make: str
    mac: str
    source: str
    names: Sequence[str] = ()
    macros: Sequence[tuple[str, str]] = ()
    user_agent: str = ""
    model: str = ""
    follows: Callable[[str], Sequence[str]] = lambda _text: ()

    def _own(self, text: str) -> str:
        found = text.replace("{mac}", self.mac).replace("{MAC}", self.mac.upper()).replace("{model}", self.model)
        return found.replace("[PHONE_MAC_ADDRESS]", self.mac)

    def start(self, address: str, get: Get) -> Iterator[str]:
        """Ask for files as the phone does; yield the texts that it gets."""
        for placeholder, value in self.macros:
            address = address.replace(placeholder, self._own(value))
        names = [*self.names] if address.endswith("/") else [""]
        while names:
            status, text = get(address + self._own(names.pop(0)))
            if status == 200:
                yield text
                names = [*(name.removeprefix(address) for name in self.follows(text)), *names]


def _poly(text: str) -> Sequence[str]:
    root = ElementTree.fromstring(text)
    return [name.strip() for name in root.get("CONFIG_FILES", "").split(",")] if root.tag == "APPLICATION" else ()


def _panasonic(text: str) -> Sequence[str]:
    return re.findall(r'^CFG_STANDARD_FILE_PATH="([^"]*)"$', text, re.MULTILINE)


BOOTS = (
    Boot("yealink", "yealink", "001565aabb01", "capture of a W52; Yealink Auto Provision guide",
        ("{mac}.boot", "y000000000000.boot", "y000000000096.cfg", "{mac}.cfg"),
        user_agent="Yealink SIP-T54W 96.86.0.100 00:15:65:aa:bb:01"),
    Boot("snom", "snom", "000413aabb02", "service.snom.com, Auto Provisioning", macros=(("{mac}", "{MAC}"),),
        user_agent="Mozilla/4.0 (compatible; snomD785-SIP 10.1.169.16 000413AABB02 SXM:0 UXM:0 UXMC:0)"),
    Boot("snom", "snom", "000413aabb03", "service.snom.com, Auto Provisioning, an address without {mac}",
        ("snom{model}.htm", "snom{model}-{MAC}.htm"), macros=(("{mac}.xml", ""),), model="D345"),
    Boot("grandstream", "grandstream", "000b82aabb04", "SIP Device Provisioning Guide",
        ("cfg{mac}", "cfg{mac}.xml", "cfggxp2170.xml", "cfg.xml"),
        user_agent="Grandstream Model HW GXP2170 SW 1.0.11.64 DevId 000b82aabb04"),
    Boot("grandstream-names", "grandstream", "c074adaabb05", "SIP Device Provisioning Guide",
        ("cfg{mac}.bin", "cfg{mac}.xml"), user_agent="Grandstream Model HW GRP2614 SW 1.0.5.15 DevId c074adaabb05"),
    Boot("grandstream-dp", "grandstream", "c074adaabb06", "DP750 guide", ("cfg{mac}.xml",),
        user_agent="Grandstream Model HW DP750 SW 1.0.15.2 DevId c074adaabb06"),
    Boot("poly", "poly", "64167faabb07", "captures of a VVX 500; WZ",
        ("{mac}.cfg", "{mac}-phone.cfg", "{mac}-web.cfg", "{mac}-directory.xml", "3111-44600-001.sip.ld"),
        user_agent="FileTransport PolycomVVX-VVX_500-UA/5.9.7 Type/Application", follows=_poly),
    Boot("cisco-mpp", "cisco", "00562baabb08", "7800 MPP Provisioning Guide, Provisioning Parameters",
        macros=(("$MA", "{mac}"),), user_agent="Cisco-CP-8841-3PCC/11.3.7 (00562baabb08)"),
    Boot("cisco-spa", "cisco", "0002fdaabb09", "WZ; SPA guide", macros=(("$MA", "{mac}"),),
        user_agent="Cisco/SPA504G-7.6.2c (0002FDAABB09)(CBT141400UK)"),
    Boot("fanvil", "fanvil", "0c383eaabb10", "WZ, NV", macros=(("$mac", "{mac}"),),
        user_agent="Fanvil X6U Pro 0.0.10 0c383eaabb10"),
    Boot("fanvil", "fanvil", "0c383eaabb11", "WZ", ("F0V0X5S00000.cfg", "{mac}.cfg"), macros=(("$mac.cfg", ""),)),
    Boot("gigaset-maxwell", "gigaset", "7c2f80aabb12", "Gigaset's page 788627844", ("provisioning.xml", "{MAC}.xml"),
        macros=(("%MACD.xml", ""),)),
    Boot("gigaset-maxwell", "gigaset", "7c2f80aabb22", "NV", macros=(("%MACD", "{mac}"),)),
    Boot("mitel", "mitel", "08000faabb13", "6800 administrator guide 4.2, p. 46; WZ",
        ("startup.cfg", "6869i.cfg", "{MAC}.cfg"), user_agent="Mitel6920 MAC:08-00-0F-AA-BB-13 V:6.4.0.140-SIP"),
    Boot("panasonic", "panasonic", "0080f0aabb14", "HDV130 guide, p. 28", ("{model}.cfg",), model="KX-HDV130",
        follows=_panasonic, user_agent="Panasonic_KX-HDV130/01.133 (0080f0aabb14)"),
    Boot("htek", "htek", "001fc1aabb15", "Htek's page 437354575", ("cfg0010.xml", "cfg{mac}", "cfg{mac}.xml"),
        user_agent="Htek UC926 2.0.4.2 00:1f:c1:aa:bb:15"),
    Boot("htek", "sangoma", "005058aabb16", "TAN", ("cfg{mac}.xml",)),
    Boot("akuvox", "akuvox", "0c1105aabb18", "TAN", macros=(("{mac}", "{MAC}"),)),
    Boot("vtech", "vtech", "0011a0aabb19", "VSP726 guide", ("{model}.cfg", "{model}_{MAC}.cfg"), model="VSP726"),
    Boot("vtech", "vtech", "0011a0aabb20", "fusionpbx", ("{model}.cfg", "{model}_{mac}.cfg"), model="C520-WiMi"),
)  # fmt: skip
