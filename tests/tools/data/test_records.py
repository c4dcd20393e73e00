"""Readers, validation and writing of labelled data (tools/data)."""

import gzip
import json
from pathlib import Path

import pytest
from detecting import format_of
from hypothesis import given, settings
from hypothesis import strategies as st
from jpt_ner.tools.data.records import (
    Entity,
    Problems,
    Record,
    TypeInfo,
    _free,
    find_types,
    hold_out,
    iter_records,
    merge_touching,
    read_records,
    read_types,
    record_problems,
    records_from_dataset,
    self_contained,
    token_ranges,
    types_for,
    write_records,
)
from jpt_ner.tools.files.formats.tags import tags_to_spans

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
TEXT = "Ada Lovelace met Charles Babbage in London."
GOOD = {"id": "a", "text": TEXT, "entities": [{"start": 0, "end": 12, "label": "person"}]}
TYPES = {
    "PER": {"name": "person", "generic": "a person", "definition": "A named human being."},
    "LOC": {"name": "place", "generic": None, "definition": "A named place."},
}


def write_lines(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def with_entity(**changes):
    return {**GOOD, "entities": [{**GOOD["entities"][0], **changes}]}


# One row for each way in which a line can be wrong, and a piece of the reason that must be given.
BAD = [
    ('{"id": "x", "text": ', "broken JSON"),
    ("[1]", "should be a JSON object"),
    ({"id": "x", "text": TEXT}, "key 'entities' is missing"),
    (with_entity(label=3), "label should be"),
    ({**GOOD, "id": ""}, "id should be"),
    ({**GOOD, "text": " \n"}, "blank"),
    ({**GOOD, "text": "\ud800" + TEXT}, "surrogate"),
    (with_entity(start=0.0), "integers"),
    (with_entity(start=False), "integers"),
    (with_entity(end=len(TEXT) + 1), "outside the text of 43 characters"),
    (with_entity(start=-3), "outside"),
    (with_entity(start=9, end=4), "outside"),
    (with_entity(end=0), "is empty"),
    (with_entity(end=13), "white space"),
    (with_entity(label=""), "label should be"),
    (with_entity(text="Ada"), "text 'Ada' differs from 'Ada Lovelace'"),
    (with_entity(word="Lovelace"), "word 'Lovelace' differs"),
    ({**GOOD, "entities": [{"start": 0, "end": 3}]}, "key 'label' is missing"),
    ({**GOOD, "entities": [[0, 3, "person"]]}, "should be an object"),
    ({**GOOD, "entities": GOOD["entities"] * 2}, "entities 0-12 and 0-12 overlap"),
    ({**GOOD, "entities": [{"start": 4, "end": 16, "label": "x"}, *GOOD["entities"]]}, "0-12 and 4-16 overlap"),
    ({**GOOD, "types": {"place": "A named place."}}, "label 'person' of 'Ada Lovelace' is not among the types"),
    ({**GOOD, "types": {"person": " "}}, "type 'person' has no definition"),
    ({**GOOD, "types": ["person"]}, "types should be an object"),
    ({**GOOD, "labels": ["place"]}, "not among the types"),
    ({**GOOD, "labels": "person"}, "labels should be a list"),
    ({**GOOD, "types": {"person": "A human."}, "labels": ["person", "place"]}, "'place' in labels has no definition"),
    ({**GOOD, "tokens": ["Ada", "Byron"]}, "token 1 'Byron' is not in the text"),
]


def test_every_bad_line_is_reported_with_its_line_and_reason_and_the_good_ones_survive(tmp_path):
    rows = []
    for index, (row, _) in enumerate(BAD):
        rows += [row if isinstance(row, str) or row.get("id") == "" else row | {"id": f"bad{index}"}, ""]
    path = write_lines(tmp_path / "data.jsonl", *rows, {**GOOD, "id": "good"}, {**GOOD, "id": "good"})
    report = Problems()
    records = read_records(path, on_error="skip", report=report)
    assert [record.id for record in records] == ["good"]
    assert [problem.line for problem in report] == [*range(1, 2 * len(BAD), 2), 2 * len(BAD) + 2]
    for problem, (_, reason) in zip(report, BAD, strict=False):
        assert reason in str(problem)
        assert str(problem).startswith(f"{path}:{problem.line}: ")
    assert f"the id is that of line {2 * len(BAD) + 1} too" in str(report[-1])

    seen, again = [], Problems()
    with pytest.raises(ValueError, match=rf"^{len(report)} record\(s\) cannot be used") as caught:
        seen.extend(iter_records(path, report=again))
    assert str(caught.value).count(f"{path}:") == 20
    assert f"... and {len(report) - 20} more" in str(caught.value)
    assert (seen, again) == (records, report)
    with pytest.warns(UserWarning, match=rf"left out: {len(report)} record"):
        read_records(path, on_error="skip")


def test_all_reasons_of_one_record_are_given():
    data = {
        **GOOD,
        "id": 3.5,
        "entities": [{"start": 0, "end": 99, "label": "x"}, {"start": 3, "end": 4, "label": ""}],
    }
    assert len(record_problems(data)) == 3
    with pytest.raises(ValueError, match="id should be.*outside.*white space"):
        Record.from_dict(data)


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs", "Z", "Cc")), min_size=1, max_size=5), min_size=1),
    st.data(),
)
def test_written_records_read_back_equal(tmp_path_factory, words, data):
    text, entities, position = " ".join(words), [], 0
    for word in words:
        if data.draw(st.booleans()):
            entities.append(Entity(position, position + len(word), data.draw(st.sampled_from("ab"))))
        position += len(word) + 1
    types = data.draw(st.none() | st.just({"a": "An a.", "b": "A b: é 中"}))
    labels = data.draw(st.none() | st.just(["a", "b"]))
    language = data.draw(st.none() | st.just("de"))
    record = Record("x", text, entities, types, labels, data.draw(st.none() | st.just(words)), language)
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    write_records(path, [record, Record("y", "no mention")])
    assert read_records(path) == [record, Record("y", "no mention")]
    assert Record.from_dict(record.to_dict()) == record
    if record.tokens is not None:
        assert {(each.start, each.end) for each in entities} <= set(token_ranges(text, record.tokens))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "new folder" / "data.jsonl"
    write_records(path, [Record("old", "text")])

    def failing():
        yield Record("new", "text")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_records(path, failing())
    assert [record.id for record in read_records(path)] == ["old"]
    assert list(path.parent.iterdir()) == [path]


SCHEMES = {
    "IOB2": "O B-PER I-PER B-PER O B-LOC I-LOC I-LOC B-PER",
    "IOB1": "O I-PER I-PER B-PER O I-LOC I-LOC I-LOC I-PER",
    "BIOES": "O B-PER E-PER S-PER O B-LOC I-LOC E-LOC S-PER",
    "BILOU": "O B-PER L-PER U-PER O B-LOC I-LOC L-LOC U-PER",
    "BMES": "O B-PER E-PER S-PER O B-LOC M-LOC E-LOC S-PER",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tag_schemes_read_alike(scheme):
    spans = [(1, 3, "PER"), (3, 4, "PER"), (5, 8, "LOC"), (8, 9, "PER")]
    assert tags_to_spans(SCHEMES[scheme].split()) == spans


def test_labels_may_contain_hyphens_and_other_tags_are_refused():
    assert tags_to_spans(["B-creative-work", "I-creative-work"]) == [(0, 2, "creative-work")]
    for tag in ("B-", "-B", "PER", "", "X-PER"):
        with pytest.raises(ValueError, match="should be O or"):
            tags_to_spans([tag])


def test_conll_columns_document_marks_and_bad_sentences(tmp_path):
    lines = ["\ufeff-DOCSTART- -X- -X- O", "", "EU NNP I-NP I-ORG", "rejects VBZ I-VP O", "German JJ I-NP I-MISC"]
    lines += [
        "",
        "",
        "New\xa0York NNP I-NP I-LOC\r",
        "",
        "broken",
        "fine NN I-NP O",
        "",
        "odd NN I-NP PER",
        "",
        "Bonn NNP I-NP I-LOC",
    ]
    path = write_lines(tmp_path / "eng.testa.txt", *lines)
    report = Problems()
    records = read_records(path, on_error="skip", report=report)
    assert [(each.id, each.text) for each in records] == [
        ("eng.testa-0", "EU rejects German"),
        ("eng.testa-1", "New\xa0York"),
        ("eng.testa-4", "Bonn"),
    ]
    assert records[0].entities == [Entity(0, 2, "ORG"), Entity(11, 17, "MISC")]
    assert records[0].tokens == ["EU", "rejects", "German"]
    assert [(each.line, each.id) for each in report] == [(10, "eng.testa-2"), (13, "eng.testa-3")]

    path.write_bytes("北\tB-LOC\n京\tI-LOC\n \tO\n好\tO\n".encode() + b"\n\xff\tO\n")
    report.clear()
    records = read_records(path, separator="", on_error="skip", report=report)
    assert records == [Record("eng.testa-0", "北京 好", [Entity(0, 2, "LOC")], tokens=list("北京 好"))]
    assert "not UTF-8" in str(report[0])


GLINER = [
    {"tokenized_text": ["Ada", "Lovelace", "in", "London"], "ner": [[0, 1, "person"], [3, 3, "city"]]},
    {"tokenized_text": ["Nothing", "here"], "ner": [], "ner_labels": ["person"]},
]


@pytest.mark.parametrize("as_list", [False, True])
def test_gliner_lines_and_lists(tmp_path, as_list):
    path = tmp_path / "gliner.json"
    bad = {"tokenized_text": ["one"], "ner": [[0, 1, "person"]]}
    if as_list:
        path.write_text(json.dumps([*GLINER, bad], indent=1))
    else:
        write_lines(path, *GLINER, bad)
    report = Problems()
    records = read_records(path, on_error="skip", report=report)
    assert records[0].text == "Ada Lovelace in London"
    assert records[0].entities == [Entity(0, 12, "person"), Entity(16, 22, "city")]
    assert records[1].labels == ["person"]
    assert len(report) == 1
    assert "outside the 1 tokens" in str(report[0])
    expected = [n for n, line in enumerate(path.read_text().split("\n"), 1) if "{" in line][2]
    assert report[0].line == expected


@pytest.mark.parametrize(
    "tail, reason", [("", "broken JSON"), (', {"id": ]', "broken JSON"), ("] {}", "more after the end")]
)
def test_a_json_list_that_breaks_off_is_reported(tmp_path, tail, reason):
    path = tmp_path / "data.json"
    path.write_text(f"[\n{json.dumps(GOOD)}\n{tail}")
    report = Problems()
    assert [record.id for record in read_records(path, on_error="skip", report=report)] == ["a"]
    assert len(report) == 1
    assert reason in str(report[0])
    assert report[0].line == 3


def test_formats_are_guessed_and_options_checked(tmp_path):
    for name, content, expected in [
        ("a.jsonl", json.dumps(GOOD), "jsonl"),
        ("a.json", json.dumps([{"ner": [], "tokenized_text": ["a"]}]), "gliner"),
        ("a", json.dumps({**GOOD, "text": 'say "tokenized_text": 1'}), "jsonl"),
        ("a.txt", "[ O\nEU B-ORG", "conll"),
        ("train", "EU\tB-ORG", "conll"),
    ]:
        (tmp_path / name).write_text(content)
        assert format_of(tmp_path / name) == expected, name
    with pytest.raises(ValueError, match="`format` should be one of .*jsonl, .*conll.*, got 'xml'"):
        read_records(tmp_path / "a", format="xml")
    with pytest.raises(ValueError, match="unknown option 'seperator'; known: .*separator"):
        read_records(tmp_path / "a", seperator="")
    with pytest.raises(ValueError, match="`on_error` should be"):
        read_records(tmp_path / "a", on_error="ignore")
    with pytest.raises(FileNotFoundError):
        read_records(tmp_path / "missing.jsonl")


def test_types_beside_the_file_are_found_and_labels_checked_against_them(tmp_path):
    (tmp_path / "types.json").write_text(json.dumps(TYPES))
    row = {**GOOD, "entities": [{"start": 0, "end": 12, "label": "PER"}]}
    path = write_lines(
        tmp_path / "data.jsonl", row, with_entity() | {"id": "b"}, {**GOOD, "id": "c", "labels": ["ORG"]}
    )
    report = Problems()
    assert [record.id for record in read_records(path, on_error="skip", report=report)] == ["a"]
    assert "label 'person'" in str(report[0])
    assert "'ORG' in labels has no definition" in str(report[1])
    assert [each.id for each in read_records(path, types={"person": "A human."}, on_error="skip", report=report)] == [
        "b"
    ]
    assert find_types(path)["PER"] == TypeInfo("person", "A named human being.", "a person")


def test_types_in_all_forms(tmp_path):
    types = read_types(TYPES)
    assert types == {
        "PER": TypeInfo("person", "A named human being.", "a person"),
        "LOC": TypeInfo("place", "A named place."),
    }
    assert read_types(types) == types
    plain = {"person": TypeInfo("person", "A human."), "place": TypeInfo("place", "A place.")}
    document = {"person": "A human.", "place": "A place."}
    path = tmp_path / "plain.json"
    path.write_text(json.dumps(document))
    schema = tmp_path / "schema.yaml"
    schema.write_text(
        "entity_types:\n  - name: person\n    definition: A human.\n  - {name: place, definition: A place.}\n"
    )
    for value in (
        document,
        path,
        str(path),
        schema,
        [{"name": name, "definition": each} for name, each in document.items()],
    ):
        assert read_types(value) == plain
    for bad, reason in [
        ({"PER": {"name": "person"}}, "definition of 'PER'"),
        ({"PER": {"name": "person", "definition": ""}}, "definition of 'PER'"),
        ({"PER": {"name": "x", "definition": "A."}, "LOC": {"name": "x", "definition": "B."}}, "share the name 'x'"),
        ({"person": ""}, "person"),
        ({}, "`types`"),
    ]:
        with pytest.raises(ValueError, match=reason):
            read_types(bad)
    path.write_text("{")
    with pytest.raises(ValueError, match="plain.json: broken JSON"):
        read_types(path)
    with pytest.raises(ValueError, match="not found"):
        read_types(tmp_path / "none.json")


def test_types_asked_for_a_record():
    types = read_types(TYPES)
    record = Record("a", TEXT, [Entity(0, 12, "PER")])
    assert types_for(record, types) == {"person": "A named human being.", "place": "A named place."}
    assert types_for(Record("a", TEXT, labels=["LOC"]), types) == {"place": "A named place."}
    assert types_for(Record("a", TEXT, types={"ship": "A ship."}), types) == {"ship": "A ship."}
    with pytest.raises(ValueError, match="has no types"):
        types_for(record)
    named = self_contained(record, types)
    assert named.entities == [Entity(0, 12, "person")]
    assert named.types == types_for(record, types)
    assert self_contained(named) == named
    with pytest.raises(ValueError, match="'ORG'"):
        self_contained(Record("a", TEXT, [Entity(0, 12, "ORG")]), types)


def test_ignored_labels_are_neither_types_nor_mentions_and_every_sentence_stays(tmp_path):
    types = {**TYPES, "misc": {"name": "miscellaneous", "definition": "Anything else."}}
    records = [
        Record("a", TEXT, [Entity(0, 12, "PER"), Entity(36, 42, "misc")]),
        Record("b", TEXT, [Entity(0, 12, "misc")]),
        Record("c", TEXT, [Entity(0, 12, "MISC")], types={"MISC": "x", "misc": "y"}, labels=["MISC", "misc"]),
    ]
    write_records(tmp_path / "data.jsonl", records)
    kept = read_records(tmp_path / "data.jsonl", types=types, ignore_labels=("misc",))
    assert list(kept[0].dataset_types) == ["PER", "LOC"]
    assert [record.entities for record in kept] == [[Entity(0, 12, "PER")], [], [Entity(0, 12, "MISC")]]
    assert kept[2].types == {"MISC": "x"}
    assert kept[2].labels == ["MISC"]
    assert read_records(tmp_path / "data.jsonl", types=types) == records
    # Also where the types do not have the label at all.
    assert read_records(tmp_path / "data.jsonl", types=TYPES, ignore_labels=("misc",)) == kept


def test_records_carry_the_types_that_they_were_read_with(tmp_path):
    write_records(tmp_path / "data.jsonl", [Record("a", TEXT, [Entity(0, 12, "PER")], labels=["PER"])])
    (tmp_path / "types.json").write_text(json.dumps(TYPES))
    (record,) = read_records(tmp_path / "data.jsonl")
    (tmp_path / "types.json").unlink()
    assert types_for(record) == {"person": "A named human being."}
    assert self_contained(record).entities == [Entity(0, 12, "person")]


def test_rows_may_name_a_schema_file_unless_that_is_ruled_out(tmp_path):
    schema = tmp_path / "own.yaml"
    schema.write_text("entity_types: {person: A human.}")
    path = write_lines(tmp_path / "data.jsonl", {**GOOD, "entity_types": str(schema)})
    assert read_records(path)[0].types == {"person": "A human."}
    schema.write_text("entity_types: {person: Somebody.}")
    assert read_records(path)[0].types == {"person": "Somebody."}
    with pytest.raises(ValueError, match=r"data\.jsonl:1: .*no file is read here"):
        read_records(path, type_files=False)


def test_labels_are_found_among_the_types_in_upper_or_lower_case(tmp_path):
    write_records(tmp_path / "data.jsonl", [Record("a", TEXT, [Entity(0, 12, "per"), Entity(36, 42, "Loc")])])
    assert [each.label for each in read_records(tmp_path / "data.jsonl", types=TYPES)[0].entities] == ["PER", "LOC"]
    with pytest.raises(ValueError, match="label 'per' of 'Ada Lovelace' is not among the types"):
        read_records(tmp_path / "data.jsonl", types={"Per": "a", "PER": {"name": "other", "definition": "b"}})


def test_overlaps_are_read_where_they_are_allowed(tmp_path):
    nested = Record("a", TEXT, [Entity(0, 12, "person"), Entity(4, 12, "name"), Entity(4, 12, "person")])
    write_records(tmp_path / "data.jsonl", [nested])
    with pytest.raises(ValueError, match="0-12 and 4-12 overlap .*allow_overlaps=True.*--nested"):
        read_records(tmp_path / "data.jsonl")
    assert read_records(tmp_path / "data.jsonl", allow_overlaps=True) == [nested]
    assert Record.from_dict(nested.to_dict(), allow_overlaps=True) == nested
    twice = nested.to_dict() | {"entities": nested.to_dict()["entities"] * 2}
    with pytest.raises(ValueError, match="entity 0-12 of 'person' is there twice"):
        Record.from_dict(twice, allow_overlaps=True)


class Counted(dict):
    """Counts how often it is asked what it holds."""

    asked = 0

    def __contains__(self, key):
        self.asked += 1
        return super().__contains__(key)


def test_repeated_names_get_the_next_free_number_without_a_search():
    taken, numbers = Counted({"a": 1, "a-3": 1, "b": 1}), {}
    for _ in range(100):
        taken[_free("a", taken, numbers)] = 1
    assert list(taken)[3:6] == ["a-2", "a-4", "a-5"] and len(taken) == 103
    assert taken.asked == 101
    assert _free("b", taken, numbers) == "b-2"


def test_datasets_with_class_labels():
    datasets = pytest.importorskip("datasets")
    names = ["O", "B-PER", "I-PER", "B-LOC"]
    rows = {
        "id": ["7", "8", "9"],
        "tokens": [["Ada", "Lovelace", "wrote"], ["London"], ["one"]],
        "ner_tags": [[1, 2, 0], [3], [0, 0]],
    }
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=names)),
        }
    )
    dataset = datasets.Dataset.from_dict(rows, features=features)
    expected = [
        Record("7", "Ada Lovelace wrote", [Entity(0, 12, "PER")], tokens=["Ada", "Lovelace", "wrote"]),
        Record("8", "London", [Entity(0, 6, "LOC")], tokens=["London"]),
    ]
    report = Problems()
    assert records_from_dataset(dataset, on_error="skip", report=report) == expected
    assert [str(problem) for problem in report] == ["dataset:2: record '9': 1 tokens but 2 tags"]
    with pytest.raises(ValueError, match="1 tokens but 2 tags"):
        records_from_dataset(dataset)
    good = dataset.select(range(2))
    assert records_from_dataset(good.to_iterable_dataset()) == expected
    as_text = datasets.Dataset.from_dict(
        {"id": ["7", "8"], "tokens": rows["tokens"][:2], "ner": [["B-PER", "I-PER", "O"], ["B-LOC"]]}
    )
    assert records_from_dataset(as_text, tags_column="ner") == expected
    bare = datasets.Dataset.from_dict({key: values[:2] for key, values in rows.items()})
    with pytest.raises(ValueError, match="tag_names"):
        records_from_dataset(bare)
    assert records_from_dataset(bare, tag_names=names) == expected
    report.clear()
    assert records_from_dataset(bare, tag_names=names[:3], on_error="skip", report=report) == expected[:1]
    assert "tag number 3 has no name" in str(report[0])
    with pytest.raises(ValueError, match="no column 'labels'"):
        records_from_dataset(good, tags_column="labels")
    assert records_from_dataset(list(as_text), tags_column="ner") == expected
    with pytest.raises(
        ValueError, match=r"expected one split or a list of rows, got a DatasetDict of train.*\['train'\]"
    ):
        records_from_dataset(datasets.DatasetDict(train=good))
    whole = datasets.Dataset.from_dict({"tokens": ["Ada Lovelace"], "ner_tags": ["B-PER I-PER"]})
    with pytest.raises(ValueError, match="column 'tokens' should hold lists, one item a word; it holds Value"):
        records_from_dataset(whole)
    with pytest.raises(ValueError, match="dataset:0: record '0': ner_tags should be a list, got str"):
        records_from_dataset([{"tokens": ["Ada"], "ner_tags": "B-PER"}])
    with pytest.raises(ValueError, match="expected a dataset or a list of rows, got 'train.jsonl'"):
        records_from_dataset("train.jsonl")


def test_held_out_records_are_whole_documents_and_always_the_same():
    records = [Record(f"doc{i}-{j}", "x") for i in range(40) for j in range(3)]
    held, rest = hold_out(records, 10)
    assert [len(held), len(rest)] == [12, 108]
    documents = {record.id.split("-")[0] for record in held}
    assert len(documents) == 4 and not documents & {record.id.split("-")[0] for record in rest}
    again, _ = hold_out(records[::-1] + [Record("doc99-0", "x")], 10)
    assert {record.id for record in held} <= {record.id for record in again} | {"doc99-0"}
    # Numbers behind one common name are no documents.
    numbered = [Record(f"news-{i}", "x") for i in range(30)]
    assert len(hold_out(numbered, 10)[0]) == 10
    assert len(hold_out(numbered, 100)[0]) == 15  # at most half
    assert hold_out(numbered, 0) == ([], numbered)


def test_touching_mentions_become_one():
    text = "Civita Vecchia , Rome Paris"
    spans = [(0, 6, "LOC"), (7, 14, "LOC"), (17, 21, "LOC"), (22, 27, "ORG")]
    record = Record("a", text, [Entity(*span) for span in spans])
    merged = merge_touching(record)
    assert merged.entities == [Entity(0, 14, "LOC"), Entity(17, 21, "LOC"), Entity(22, 27, "ORG")]
    assert len(record.entities) == 4 and merge_touching(merged) == merged


@pytest.mark.long
def test_all_shared_data_is_valid():
    if not SHARED.is_dir():
        pytest.skip(f"no data at {SHARED}")
    for part in ("train", "silver", "eval"):
        files = sorted(path for path in SHARED.glob(f"{part}/**/*.jsonl") if path.parent.name != "padellm-conll03")
        report, read, lines = Problems(), 0, 0
        for path in files:
            types = find_types(path)
            records = read_records(path, on_error="skip", report=report)
            read += len(records)
            lines += len(path.read_bytes().splitlines())
            assert all(self_contained(record, types).types for record in records), path
        assert report == [], report.summary()
        assert read == lines > 1000, part


def test_evaluation_tags_read_as_conll_give_the_published_mentions(tmp_path):
    source = SHARED / "eval"
    if not source.is_dir():
        pytest.skip(f"no data at {source}")
    for name, separator in (("conll03/dev", " "), ("zh-weibo/dev", ""), ("crossner-ai/dev", " ")):
        records = read_records(source / f"{name}.jsonl")
        rows = [json.loads(line) for line in (source / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        path = tmp_path / "data.conll"
        path.write_text(
            "\n".join(
                "".join(f"{token}\t{tag}\n" for token, tag in zip(row["tokens"], row["tags"], strict=True))
                for row in rows
            ),
            encoding="utf-8",
        )
        read = read_records(path, separator=separator)
        assert len(read) == len(records)
        for ours, theirs in zip(read, records, strict=True):
            assert (ours.text, ours.tokens) == (theirs.text, theirs.tokens)
            assert ours.entities == sorted(theirs.entities, key=lambda each: each.start)


# ---- packed files ---------------------------------------------------------------------------------------------------


def test_packed_files_read_as_what_they_hold(tmp_path):
    plain = tmp_path / "plain.jsonl"
    write_records(plain, [Record("a", "Bob left", [Entity(0, 3, "PER")]), Record("b", "Rome", [])])
    contents = {
        "plain.jsonl": plain.read_bytes(),
        "list.json": b"[" + plain.read_bytes().strip().replace(b"\n", b",") + b"]",
        "tags.conll": b"Bob B-PER\nleft O\n\nRome O\n",
        "gliner.json": b'[{"tokenized_text": ["Bob", "left"], "ner": [[0, 0, "PER"]]}]',
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        assert read_records(tmp_path / f"{name}.gz") == read_records(tmp_path / name), name


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-9], lambda packed: b"{}" + packed, lambda packed: packed[:20] + b"xx"]
)
def test_damaged_packed_files_are_named(tmp_path, damage):
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(damage(gzip.compress(b'{"id": "a", "text": "Bob", "entities": []}')))
    with pytest.raises(ValueError, match="data.jsonl.gz: damaged gzip file"):
        read_records(path)
