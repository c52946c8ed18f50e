# SPDX-License-Identifier: MIT
"""Names by language, from which made-up people get theirs: given names, and surnames from a stem and an ending."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """What people are called where it is spoken.

    :ivar share: how many of a hundred people.
    :ivar country: the calling code.
    :ivar company: the kind of company, behind its name.
    """

    share: int
    given: tuple[str, ...]
    stems: tuple[str, ...]
    endings: tuple[str, ...]
    country: str
    company: str


def _language(share: int, given: str, stems: str, endings: str, country: str, company: str) -> Language:
    """Words between blanks; two blanks between endings are an empty one."""
    return Language(share, tuple(given.split()), tuple(stems.split()), tuple(endings.split(" ")), country, company)


LANGUAGES = (
    _language(
        34,
        "Anna Björn Christian Dörte Eva Frauke Günther Hannah Ingo Jürgen Käthe Lukas Mareike Nils Oskar Petra "
        "Rüdiger Sören Tobias Ulrike Volker Wiebke Yvonne Ömer Änne Jan-Philipp Karl-Heinz",
        "Müll Schmid Weiß Schröd Köhl Grün Bäck Fisch Web Schneid Krüg Hoff Bran Löw Jäg Kaiß Vog Stein Wink Lehn Öhl "
        "Ahr",
        "er mann t  bauer ner e ert ke hardt inger meier",
        "49",
        "GmbH",
    ),
    _language(
        18,
        "Alice Bob Charlotte Dylan Emily Frank Grace Harry Isla Jack Kate Liam Mary-Jane Noah Olivia Peter Quinn Rose "
        "Sam Zoe",
        "John William Rob Hend Tayl Clark Wood Green Hall Bak Mitch Park Ed Har Wat Stan O'Bri Mac",
        "son s er ell ton ley field en ward man ford",
        "44",
        "Ltd",
    ),
    _language(
        12,
        "Aurélie Benoît Chloé Didier Élodie François Gaëlle Hélène Jérôme Loïc Maëlle Noël Océane Rémi Sébastien Zoé",
        "Dup Mor Lef Bern Gir Fourn Ren Le Garn Delac Per Font Beaul Cl Château",
        "ont eau èvre ard oux ier ault roix ette in ain ment",
        "33",
        "SARL",
    ),
    _language(
        10,
        "Álvaro Begoña Carlos Débora Íñigo José-Luis Lucía María Núria Óscar Raúl Sofía Tomás Úrsula",
        "Gonzál Rodrígu Fernánd Muñ Garc Núñ Ló Álvar Jimén Ort Cas Mor",
        "ez oz ía illa eno ado ero uela",
        "34",
        "SL",
    ),
    _language(
        8,
        "Agnieszka Bartłomiej Czesława Łukasz Małgorzata Paweł Stanisław Zbigniew Żaneta Grażyna",
        "Kowal Wiśniew Dąbrow Lewandow Wójc Kamiń Zieliń Szymań Woźn",
        "ski ska czyk ik iak ek",
        "48",
        "Sp. z o.o.",
    ),
    _language(
        7,
        "Ayşe Burak Çağla Deniz Emre Gülşen İbrahim Özgür Şükrü Ümit Yıldız",
        "Yıl Öz Kaya Çel Şah Ayd Kılıç Gün Demir",
        "maz türk oğlu ik in dın er eş",
        "90",
        "A.Ş.",
    ),
    _language(
        5,
        "Bohumil Dušan Jiří Kateřina Lukáš Řehoř Štěpánka Zdeněk Žofie",
        "Nov Dvoř Svob Proch Kučer Černý Hor Růž",
        "ák ek oda ázka a ová ička",
        "420",
        "s.r.o.",
    ),
    _language(
        4,
        "Åsa Björn Elsa Göran Håkan Märta Örjan Søren Bjørg",
        "Anders Lind Berg Sjö Håkans Øster Ny Ström",
        "son ström qvist gren gaard sen lund",
        "46",
        "AB",
    ),
    _language(1, "Анна Борис Дмитрий Екатерина Юрий", "Иван Петр Смирн Кузнец", "ов ова ин ина", "7", "ООО"),
    _language(1, "Αλέξης Ελένη Γιώργος Μαρία", "Παπαδ Νικολα Γεωργ", "όπουλος ίδης άκης", "30", "ΑΕ"),
)

TITLES = (
    "Einkauf",
    "Sales Manager",
    "Geschäftsführer",
    "Buchhaltung",
    "Support Engineer",
    "Directrice",
    "Monteur",
    "Head of IT",
    "Empfang",
    "Account Manager",
    "Técnico",
    "Vertrieb Außendienst",
    "Werkstattleiter",
    "CFO",
)
TRADES = (
    "Elektro",
    "Sanitär",
    "Logistik",
    "Software",
    "Bäckerei",
    "Autohaus",
    "Steuerberatung",
    "Möbel",
    "Metallbau",
    "Catering",
    "Medical",
    "Druckerei",
    "Energie",
)
