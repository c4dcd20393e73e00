"""Statistics of labelled data, against counts by hand and over real files."""

import json

import pytest
from jpt_ner.tools import cli
from jpt_ner.tools.data.records import Entity, Record, write_records
from jpt_ner.tools.data.statistics import DataStatistics, collect_statistics, plot_type_frequencies, statistics_table
from typer.testing import CliRunner

TYPES = {"person": "A human.", "town": "A place.", "river": "Water."}


@pytest.fixture
def file(tmp_path):
    records = [
        Record(
            "1",
            "Ada Lovelace met Bob, in Rome.",
            [Entity(0, 12, "person"), Entity(17, 20, "person"), Entity(25, 29, "town")],
            TYPES,
        ),
        Record("2", "x-ray of nothing", [], TYPES, tokens=["x-ray", "of", "nothing"]),
    ]
    write_records(tmp_path / "data.jsonl", records)
    return tmp_path / "data.jsonl"


def test_counts_are_those_by_hand(file):
    values = collect_statistics([file]).to_dict()
    assert (values["texts"], values["texts_without_mentions"]) == (2, 1)
    assert values["tokens"] == 8 + 3  # with the comma and the period; "x-ray" is one of the record's own
    assert (values["tokens_inside"], values["mentions"], values["tokens_per_mention"]) == (4, 3, 4 / 3)
    assert (values["types"], values["types_without_mentions"], values["median_mentions_of_a_type"]) == (3, 1, 1.5)
    assert values["mentions_by_type"] == {"person": 2, "town": 1} and values["rare_types"] == 1
    assert collect_statistics([file, file]).texts == 4


def test_command_writes_tables_and_the_distribution(file, tmp_path):
    pytest.importorskip("matplotlib")
    result = CliRunner().invoke(cli.app, ["data", "stats", str(file), "-o", str(tmp_path / "out" / "stats")])
    assert result.exit_code == 0, result.output
    assert "| tokens inside of mentions to others | 1 : 1.8 | 1 : 1.5 |" in result.stdout
    document = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert document["files"] == ["data.jsonl"] and document["tokens"] == 11
    assert (tmp_path / "out" / "stats.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "empty.jsonl").write_text("")
    refused = CliRunner().invoke(cli.app, ["data", "stats", str(tmp_path / "empty.jsonl")])
    assert refused.exit_code == 2 and "no records" in refused.stderr


def test_nested_mentions_count_each(tmp_path):
    entities = [Entity(0, 12, "person"), Entity(4, 12, "town")]
    write_records(tmp_path / "data.jsonl", [Record("1", "Ada Lovelace slept", entities, TYPES)])
    values = collect_statistics([tmp_path / "data.jsonl"]).to_dict()
    assert (values["mentions"], values["tokens"], values["tokens_inside"]) == (2, 3, 2)


def test_data_without_mentions_has_statistics(tmp_path):
    found = DataStatistics()
    found.add(Record("1", "nothing", []))
    assert "| mentions | 0 |" in statistics_table(found)
    plot_type_frequencies(found, tmp_path / "none.png")
