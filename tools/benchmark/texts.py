"""Texts and types to time systems on: generated sentences in the style of CrossNER-Politics, or the user's records.

The sentences are generated so that the command needs no data: seeded, in natural words, with their entities, about 42 words
long like those of CrossNER-Politics.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..data.records import Entity, Record
from ..evaluation.evaluate import load_dataset

TYPES = {
    "politician": "A person by name who holds, has held or seeks political office, such as a minister, a member of a "
    "parliament, a mayor or a candidate; not the title before the name, nor people outside politics.",
    "person": "Any other person by name: a reporter, an expert, an activist, a judge or a relative; not people who "
    "hold or seek political office, and not unnamed people such as two protesters.",
    "political party": "A party, faction or electoral alliance by its full name or usual short form; not a "
    "government in office, and not the holders of a general leaning such as liberals.",
    "organisation": "A named body other than a party: a company, union, agency, court, ministry or association; not a "
    "parliament as a place, and not a group without a name.",
    "election": "A named election, by-election, referendum or leadership contest, usually with its year or place; not "
    "a vote inside a parliament, and not an opinion poll.",
    "event": "A named happening other than an election: a summit, strike, war, scandal or demonstration; not a date, "
    "and not a meeting without a name.",
    "country": "The name of a present or former state, full or abbreviated, also where it stands for its government; "
    "not provinces, not cities, and not adjectives of nationality.",
    "location": "Any other named place: a city, district, province, building, river or mountain; not a state, and not "
    "a place that is only described.",
    "law": "A text with legal force by its name: an act, bill, treaty, constitution or decree; not a policy that has "
    "no text of its own, such as tax cuts.",
    "public post": "A position of power as a role, whether or not its holder is named, such as prime minister or "
    "mayor of a city; not the department that the post leads.",
    "date": "A calendar date, month, year or named day, alone or in a longer expression; not durations such as three "
    "years, and not ages.",
    "amount of money": "A sum with its currency, in words or figures, such as 20 million euros; not percentages, and "
    "not numbers without a currency.",
    "number of votes": "A count of votes, seats or supporters, such as 86 votes or a majority of 12; not percentages "
    "and not sums of money.",
    "newspaper": "A newspaper, magazine, broadcaster or news agency by name; not the company that owns it unless that "
    "bears the same name.",
    "nationality": "An adjective or noun that says which country or people someone or something belongs to; not the "
    "name of the country itself.",
    "ideology": "A named school of political thought, such as liberalism or green conservatism; not a party, even if "
    "its name contains the word.",
    "slogan": "A phrase that a campaign, party or movement uses for itself, usually in quotation marks; not an "
    "ordinary quotation from a speech.",
}
SHORT_TYPES = {"person": "A named person.", "organisation": "A named body.", "location": "A named place."}

_FIRST = "Ingrid Jonas Marta Paul Amina Viktor Clara Tomas Leila Henrik Sofia Daniel Noor Petra Samuel Irene".split()
_LAST = "Solheim Aasen Kovac Berg Haddad Novak Lindqvist Moreau Okafor Castellan Varga Whitmore Aldana Brandt".split()
_PLACES = "Lisbon Bergen Graz Halden Tampere Leeds Girona Olsztyn Sibiu Aarhus Ghent Coimbra Tartu Bari".split()
_COUNTRIES = "Norway Austria Portugal Poland Estonia Romania Belgium Denmark Hungary Ireland Slovenia".split()
_PARTIES = ["Labour Party", "Centre Party", "Green Alliance", "People's Union", "Liberal Forum", "Farmers' League"]
_BODIES = [
    "Constitutional Court",
    "Chamber of Commerce",
    "Halden Robotics",
    "Transport Workers' Union",
    "Audit Office",
]
_LAWS = ["Petroleum Tax Act", "Housing Bill", "Treaty of Graz", "Data Protection Decree", "Electoral Reform Act"]
_EVENTS = ["Harbour Strike", "Baltic Summit", "March for Clean Water", "Budget Crisis", "Tender Affair"]
_WORDS = {
    "politician": lambda r: f"{r.choice(_FIRST)} {r.choice(_LAST)}",
    "person": lambda r: f"{r.choice(_FIRST)} {r.choice(_LAST)}",
    "political party": lambda r: r.choice(_PARTIES),
    "organisation": lambda r: r.choice(_BODIES),
    "election": lambda r: f"{r.randint(1960, 2024)} {r.choice(('general', 'local', 'presidential'))} election",
    "event": lambda r: r.choice(_EVENTS),
    "country": lambda r: r.choice(_COUNTRIES),
    "location": lambda r: r.choice(_PLACES),
    "law": lambda r: r.choice(_LAWS),
}
_CLAUSES = [
    "In the [election] the [political party] lost its majority in [country] to a coalition led by [politician]",
    "[politician], a former mayor of [location], resigned after the [organisation] had published its report",
    "the reporter [person] wrote that the vote on the [law] would have failed without the support of the "
    "[political party]",
    "more than four thousand people took part in the [event] in [location] and called for a new government",
    "the [organisation] asked the parliament of [country] to suspend the [law] until the appeal was decided",
    "he had been a member of the [political party] since he left university and stood for it in the [election]",
    "the talks were to be resumed in [location] once both sides had studied what the experts had found",
    "[person], who had advised [politician] for ten years, denied that there had ever been such an agreement",
]


def generate_records(count: int, words: tuple[int, int] = (12, 54), seed: int = 0) -> list[Record]:
    """
    Sentences with their entities of the first nine of `TYPES`.

    Args:
        words (`tuple[int, int]`): Minimum and maximum length; clauses are added until a length drawn between is reached.
    """
    generator = random.Random(seed)
    records = []
    for number in range(count):
        target = generator.randint(*words)
        text, entities = "", []
        while len(text.split()) < target:
            text += ", and " if text else ""
            for part in generator.choice(_CLAUSES).replace("[", "]\0").split("]"):
                if part.startswith("\0"):
                    part, label = _WORDS[part[1:]](generator), part[1:]
                    entities.append(Entity(len(text), len(text) + len(part), label))
                text += part
        records.append(Record(f"generated-{number}", text[0].upper() + text[1:] + ".", entities))
    return records


def bench_types(count: int) -> dict[str, str]:
    """
    Raises:
        ValueError: If there are fewer types.
    """
    if not 1 <= count <= len(TYPES):
        raise ValueError(f"`count`: there are types for 1 to {len(TYPES)}, got {count}")
    return dict(list(TYPES.items())[:count])


def bench_records(data: str | Path | None, count: int) -> tuple[list[Record], dict[str, str]]:
    """
    Args:
        data (`str` or `Path`, *optional*): A file of records with types, as `jpt-ner evaluate` reads. Defaults to generated ones.
        count (`int`): Number of records; a fixed sample of the file.

    Returns:
        The records, each with all types, and these types.
    """
    if data is None:
        return with_types(generate_records(count), bench_types(9)), bench_types(9)
    records = load_dataset(data, limit=count)
    if len(records) < count:
        raise ValueError(f"{data}: {len(records)} records, but {count} are to be timed; give --texts {len(records)}")
    types = merged_types(records)
    return with_types(records, types), types


def with_types(records: Sequence[Record], types: Mapping[str, str]) -> list[Record]:
    """The records under these types, without entities of others."""
    return [
        replace(record, types=dict(types), entities=[each for each in record.entities if each.label in types])
        for record in records
    ]


def merged_types(records: Sequence[Record]) -> dict[str, str]:
    """The types of all records in one dict."""
    merged: dict[str, str] = {}
    for record in records:
        merged |= {name: definition for name, definition in (record.types or {}).items() if name not in merged}
    return merged
