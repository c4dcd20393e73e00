"""What `tag` writes is read back with nothing lost: texts, entities and types' names, in every format, whatever they hold."""

import csv
import json
import os
import zipfile
from types import SimpleNamespace

import pytest
from detecting import format_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jpt_ner.tools.data.records import Record, read_records
from jpt_ner.tools.evaluation.evaluate import evaluate, load_dataset
from jpt_ner.tools.files.documents import read_documents
from jpt_ner.tools.files.model import Document
from jpt_ner.tools.files.writers import OUTPUT_SUFFIXES, document_writer
from jpt_ner.words_jpt import split_words

NAMES = ("person", "人名", "home/town", "home town", "Home_Town", "a=b", "x | y", "B-x", "-")
MANY = [suffix for suffix in OUTPUT_SUFFIXES if suffix != ".ann"]
NASTY = st.sampled_from(
    [*"ab1#='\"+-@,;|\t \n\r.–é🙂\u2028\u200b\0:[]{}\\<>", "\r\n", " = ", "# id = ", "北京", "T1\t"]
)


def entity(start, end, name, text):
    return {"entity_group": name, "score": 0.5, "word": text[start:end], "start": start, "end": end}


@st.composite
def tagged(draw):
    """A document and entities of whole runs of its words, or of parts of them."""
    text = "".join(draw(st.lists(NASTY, max_size=25)))
    words = split_words(text)
    bounds = sorted(draw(st.sets(st.integers(0, len(words)), max_size=6)))
    entities = [
        entity(words[first][0], words[last - 1][1], draw(st.sampled_from(NAMES)), text)
        for first, last in zip(bounds[::2], bounds[1::2], strict=False)
    ]
    row = draw(st.sampled_from([{}, {"id": "a"}, {"id": "A"}, {"id": 3}, {"id": "a/1"}, {"id": ""}, {"id": None}]))
    return {**row, "text": text}, entities


def write(path, documents):
    with document_writer(path) as add:
        for number, (row, entities) in enumerate(documents, 1):
            add(Document(number, row, row["text"]), entities)


def spans(record):
    return sorted((each.start, each.end, each.label) for each in record.entities)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(documents=[({"text": "=1+1 Paris"}, [entity(5, 10, "x | y", "=1+1 Paris")])] * 2)
@example(documents=[({"text": "# O\nand"}, [entity(0, 1, "a=b", "#")])])
@example(documents=[({"text": "#"}, [])])
@example(documents=[({"text": "\n# #"}, [entity(3, 4, "person", "\n# #")])])
@given(documents=st.lists(tagged(), min_size=1, max_size=4))
@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_documents_with_entities_are_read_back(tmp_path, suffix, documents):
    documents = documents[:1] if suffix == ".ann" else documents
    for file in tmp_path.iterdir():
        file.unlink()
    write(tmp_path / f"a{suffix}", documents)
    records = read_records(tmp_path / f"a{suffix}")
    expected = [
        (row["text"], sorted((each["start"], each["end"], each["entity_group"]) for each in entities))
        for row, entities in documents
        if row["text"].strip() and (entities or suffix != ".csv" and split_words(row["text"]))
    ]
    kept = [each for each in records if each.entities or split_words(each.text)]
    assert [(record.text, spans(record)) for record in kept] == expected
    assert len({record.id for record in records}) == len(records)


def test_entities_within_words_are_read_back_from_conll(tmp_path):
    text = "Berlin-based U.S.firms"
    entities = [entity(0, 3, "a", text), entity(3, 6, "a", text), entity(17, 21, "b", text)]
    write(tmp_path / "a.conll", [({"text": text}, entities)])
    (record,) = read_records(tmp_path / "a.conll")
    assert record.text == text and spans(record) == [(0, 3, "a"), (3, 6, "a"), (17, 21, "b")]


@pytest.mark.parametrize(
    "words",
    [["#"], ["#", "#"], ["#x = 3"], ["# id = 7", "a"], ["#begin document"], ["-DOCSTART-"], ["a", "-DOCSTART-", "#"]],
    ids=" ".join,
)
def test_words_that_look_like_marks_of_conll_files_are_words(tmp_path, words):
    text = " ".join(words)
    with document_writer(tmp_path / "a.conll") as add:
        add(Document(1, {"tokens": words}, text, words), [entity(0, len(words[0]), "x", text)])
    (record,) = read_records(tmp_path / "a.conll")
    assert (record.text, record.tokens, spans(record)) == (text, words, [(0, len(words[0]), "x")])


# ---- evaluation of a model's own output -----------------------------------------------------------------------------

TEXTS = ["Anna Berg lives in Oslo.", " ", "Tom Hill\n\nmoved from Bonn (“the U.S.”) to Graz.", "nothing here"]
TYPES = {"person": "A named human being.", "home/town": "A named town."}


def reader(items, **options):
    """Stands in for a model: finds the same in the same text, whatever else there is."""
    known = {
        "Anna Berg": "person",
        "Oslo": "home/town",
        "Tom Hill": "person",
        "U.S.": "home/town",
        "Graz": "home/town",
    }
    for item in items:
        text, types = item["text"], item["entity_types"]
        yield [
            entity(text.index(word), text.index(word) + len(word), name, text)
            for word, name in known.items()
            if word in text and name in types
        ]


@pytest.mark.parametrize("suffix", MANY)
def test_a_model_scores_100_on_its_own_output(tmp_path, suffix):
    documents = [{"text": text} for text in TEXTS]
    found = reader([{"text": text, "entity_types": TYPES} for text in TEXTS])
    write(tmp_path / f"own{suffix}", zip(documents, found, strict=True))
    scores, _ = evaluate(reader, load_dataset(tmp_path / f"own{suffix}", types=TYPES))
    assert scores.strict.f1 == 1 and scores.strict.gold == 5
    assert scores.texts == (2 if suffix == ".csv" else 3)


@pytest.mark.parametrize("program", ["doccano", "prodigy", "spacy"])
def test_what_is_written_for_a_program_is_known_as_its_own_and_read_back(tmp_path, program):
    path = tmp_path / f"A.{program.title()}.jsonl"
    rows = [{"id": 7, "author": "x", "text": text, "entities": "old", "label": "old", "spans": 1} for text in TEXTS]
    found = list(reader([{"text": text, "entity_types": TYPES} for text in TEXTS]))
    write(path, zip(rows, found, strict=True))
    assert format_of(path) == program
    records = [each for each in read_records(path) if each.text.strip()]
    expected = [(text, each) for text, each in zip(TEXTS, found, strict=True) if text.strip()]
    assert [(each.text, spans(each)) for each in records] == [
        (text, [(one["start"], one["end"], one["entity_group"]) for one in each]) for text, each in expected
    ]
    first = json.loads(path.read_text().splitlines()[0])
    assert program == "spacy" or first["author"] == "x" and first["id"] == 7


def test_pairs_of_spacy_are_read_back_after_a_text_longer_than_what_formats_are_detected_from(tmp_path):
    texts = ["Anna " * 20_000, "Oslo"]
    found = [[entity(0, 4, "person", texts[0])], [entity(0, 4, "town", texts[1])]]
    write(tmp_path / "a.spacy.jsonl", zip([{"text": text} for text in texts], found, strict=True))
    records = read_records(tmp_path / "a.spacy.jsonl")
    assert [(each.text, spans(each)) for each in records] == [
        (texts[0], [(0, 4, "person")]),
        (texts[1], [(0, 4, "town")]),
    ]


def test_types_that_rows_brought_are_those_of_their_records(tmp_path):
    rows = [{"text": "Anna Berg", "entity_types": {"own": "Anything."}, "types": ["cafe"], "labels": "x", "tokens": 3}]
    for suffix in (".jsonl", ".json"):
        write(tmp_path / f"a{suffix}", [(rows[0], [entity(0, 4, "own", "Anna Berg")])])
        (record,) = read_records(tmp_path / f"a{suffix}")
        assert record.types == {"own": "Anything."} and spans(record) == [(0, 4, "own")]


def test_rows_without_entities_keep_what_their_fields_mean_elsewhere(tmp_path):
    row = {"id": 7, "text": "Nothing.", "types": ["cafe"], "labels": "none", "tokens": ["Not", "here"]}
    write(tmp_path / "a.jsonl", [(row, [])])
    assert read_records(tmp_path / "a.jsonl") == [Record("7", "Nothing.")]


@pytest.mark.parametrize("name", ["a.conll", "a.conllu", "a.iob2"])
def test_columns_and_comments_of_conll_files_stay(tmp_path, name):
    content = {
        "a.conll": "-DOCSTART- -X- O\n\nAnna NNP B-LOC\nBerg NNP O\n\nBonn NNP O\n",
        "a.conllu": "# newdoc\n# sent_id = 1\n1-2\tAnna\t_\n1\tAn\tO\n2\tna\tO\n3\tBerg\tO\n",
        "a.iob2": "# text = Anna Berg\n1\tAnna\tB-LOC\n2\tBerg\tO\n",
    }[name]
    (tmp_path / name).write_text(content)
    documents = list(read_documents(tmp_path / name))
    with document_writer(tmp_path / "b.conll") as add:
        for document in documents:
            add(document, [entity(0, 9, "person", document.text)] if "Berg" in document.text else [])
    lines = (tmp_path / "b.conll").read_text().splitlines()
    assert [line for line in lines if line.startswith(("#", "-"))][-1:] == [
        line for line in content.splitlines() if line.startswith(("#", "-"))
    ][-1:]
    assert [line.rsplit("\t", 1)[0] for line in lines if "\t" in line] == [
        "\t".join(line.replace(" ", "\t").split("\t"))
        for line in content.splitlines()
        if line[:1] not in ("#", "-", "")
    ]
    records = read_records(tmp_path / "b.conll")
    assert spans(records[0]) == [(0, 9, "person")] and len(records) == len(documents)


def test_a_blank_row_leaves_a_block_in_conll(tmp_path):
    rows = [{"id": 1, "text": "Anna"}, {"id": 2, "text": " "}, {"id": 3, "text": "Tom"}]
    write(tmp_path / "a.conll", [(row, []) for row in rows])
    assert (
        tmp_path / "a.conll"
    ).read_text() == '# id = 1\nAnna\tO\n\n# id = 2\n# json_text = " "\n\n# id = 3\nTom\tO\n\n'


# ---- single formats -------------------------------------------------------------------------------------------------


def test_cells_of_csv_are_no_formulas(tmp_path):
    words = ["=1+1", "@SUM(A1)", "+cmd|x", "-a", "'=x", "+44 20 7946", "-5", "plain", "'quoted'"]
    text = " ".join(words)
    places = [text.index(word) for word in words]
    found = [entity(start, start + len(word), "x", text) for start, word in zip(places, words, strict=True)]
    write(tmp_path / "a.csv", [({"id": "=cmd|x", "text": text}, found)])
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    escaped = ["'=1+1", "'@SUM(A1)", "'+cmd|x", "'-a", "''=x", "+44 20 7946", "-5", "plain", "'quoted'"]
    assert [row["word"] for row in rows] == escaped and rows[0]["id"] == "'=cmd|x" and rows[0]["text"] == f"'{text}"
    (record,) = read_records(tmp_path / "a.csv")
    assert record.id == "=cmd|x" and record.text == text and len(record.entities) == len(words)


def test_tables_of_entities_may_repeat_the_text(tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,start,end,entity_group\nAnna in Oslo,0,4,person\nAnna in Oslo,8,12,city\nBonn,0,4,city\n\nnone,,,\n\n"
    )
    records = read_records(tmp_path / "a.csv")
    assert [(record.text, spans(record)) for record in records] == [
        ("Anna in Oslo", [(0, 4, "person"), (8, 12, "city")]),
        ("Bonn", [(0, 4, "city")]),
        ("none", []),
    ]
    with pytest.raises(ValueError, match=r"a\.csv:2: has no text"):
        (tmp_path / "a.csv").write_text("id,start,end,entity_group,word,score,text\n1,0,4,person,Anna,0.5,\n")
        read_records(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_half_characters_are_written_as_replacement_characters(tmp_path, suffix):
    text = "Oslo \ud83d x"
    write(tmp_path / f"a{suffix}", [({"id": "\ud83d", "text": text}, [entity(0, 6, "a \ud83d", text)])])
    (record,) = read_records(tmp_path / f"a{suffix}")
    assert record.text == "Oslo \ufffd x" and len(record.entities) == 1


def test_names_of_types_for_brat_are_its_own_and_shown_as_they_were(tmp_path):
    text = "Anna Berg"
    names = ["人名", "home/town", "home town", "Künstler", "city"]
    found = [entity(number, number + 1, name, text) for number, name in enumerate(n for n in names if n != "city")]
    write(tmp_path / "a.zip", [({"text": text}, found), ({"text": "Oslo"}, [entity(0, 4, "city", "Oslo")])])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        types = archive.read("annotation.conf").decode().split("[relations]")[0].split()[1:]
        labels = archive.read("visual.conf").decode()
    assert types == ["type", "home_town", "home_town-2", "Kunstler", "city"]
    for own, name in zip(types, names, strict=True):
        assert f"{own} | {name}\n" in labels
    # Corrected in brat: a new annotation has no note, and the archive may be unpacked.
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(folder)
    with open(folder / "1.ann", "a") as file:
        file.write("T9\thome_town-2 5 9\tBerg\n")
    assert [each.label for each in read_records(folder)[0].entities][-1] == "home town"


def test_types_that_were_asked_for_are_offered_in_brat(tmp_path):
    with document_writer(tmp_path / "a.zip", ["person", "home/town", "home town"]) as add:
        add(Document(1, {}, "Oslo"), [entity(0, 4, "home town", "Oslo")])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("annotation.conf").decode().startswith("[entities]\nperson\nhome_town\nhome_town-2\n\n")
        assert "home_town-2 | home town\n" in archive.read("visual.conf").decode()


def test_names_of_documents_in_archives_are_no_two_the_same(tmp_path):
    rows = [{"id": name, "text": "x"} for name in ("a/1", "a 1", "A/1", "a_1-2", "visual", "annotation")]
    write(tmp_path / "a.zip", [(row, []) for row in rows])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = [name.casefold() for name in archive.namelist()]
    assert len(set(names)) == len(names) == 14


# ---- the file as a whole --------------------------------------------------------------------------------------------


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "there" / "real.data")
    write(tmp_path / "link.jsonl", [({"text": "x"}, [])])
    assert (tmp_path / "link.jsonl").is_symlink()
    assert json.loads((tmp_path / "there" / "real.data").read_text()) == {"text": "x", "entities": []}


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_an_output_that_is_a_folder_is_refused_at_once(tmp_path, suffix):
    (tmp_path / f"out{suffix}").mkdir()
    with pytest.raises(ValueError, match="is a folder; name a file in it"):
        write(tmp_path / f"out{suffix}", SimpleNamespace())
    assert os.listdir(tmp_path) == [f"out{suffix}"]


@pytest.mark.parametrize("suffix", MANY)
def test_what_was_written_before_an_error_is_kept_and_whole(tmp_path, suffix):
    kept = []

    def fail():
        with document_writer(tmp_path / f"out{suffix}", on_partial=lambda *told: kept.append(told)) as add:
            for number in range(3):
                add(Document(1, {"text": "Anna"}, "Anna"), [entity(0, 4, f"x{number}", "Anna")])
            raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError):
            fail()
    names = [f"out.partial{suffix}", f"out.partial2{suffix}"]
    assert kept == [(tmp_path / name, 3) for name in names]
    assert sorted(os.listdir(tmp_path)) == names
    assert [spans(record) for record in read_records(tmp_path / names[0])] == [[(0, 4, f"x{n}")] for n in range(3)]
