"""Each format as its program writes it: its texts for tagging, its records for evaluation."""

import csv
import io
import json
import zipfile

import pytest
from detecting import format_of
from jpt_ner.tools.data.records import Problems, read_records
from jpt_ner.tools.files.documents import read_documents

ANNA = "Anna Berg lives in Oslo."
GOLD = [("Anna Berg", "PER"), ("Oslo", "LOC")]
LABELS = [[0, 9, "PER"], [19, 23, "LOC"]]
SPANS = [{"start": start, "end": end, "label": label} for start, end, label in LABELS]
EMOJI = "🙂👍 Anna Berg lives in Oslo 🎉."
UTF_16 = [[5, 14, "PER"], [24, 28, "LOC"]]  # as JavaScript counts


def found(record):
    return [(record.text[each.start : each.end], each.label) for each in record.entities]


def write(path, value):
    if isinstance(value, list) and path.suffix == ".jsonl":
        value = "".join(json.dumps(row) + "\n" for row in value)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


# ---- JSON of other programs -----------------------------------------------------------------------------------------


def region(start, end, label, **value):
    value = {"start": start, "end": end, "labels": [label], **value}
    return {"from_name": "label", "to_name": "text", "type": "labels", "value": value}


TASK = {
    "id": 1,
    "data": {"text": ANNA, "source": "letters"},
    "annotations": [
        {"was_cancelled": True, "result": []},
        {"was_cancelled": False, "result": [region(*each) for each in LABELS] + [{"type": "relation"}]},
    ],
    "predictions": [{"result": [region(0, 4, "PER")]}],
}
TOKENS = [
    {"id": index, "orth": word, "ner": tag}
    for index, (word, tag) in enumerate(zip(ANNA.split(), ["B-PER", "L-PER", "O", "O", "U-LOC"]))
]
JSON = {
    "doccano": ("jsonl", [{"id": 1, "text": ANNA, "label": LABELS}]),
    "doccano of old": ("jsonl", [{"id": 1, "text": ANNA, "labels": LABELS, "meta": {}}]),
    "doccano with relations": (
        "jsonl",
        [
            {
                "id": 1,
                "text": ANNA,
                "entities": [
                    {"id": 7, "label": label, "start_offset": start, "end_offset": end} for start, end, label in LABELS
                ],
                "relations": [{"id": 1, "from_id": 7, "to_id": 7, "type": "x"}],
            }
        ],
    ),
    "prodigy": ("jsonl", [{"text": ANNA, "spans": SPANS, "answer": "accept", "_input_hash": 1}]),
    "prodigy without answers": ("jsonl", [{"text": ANNA, "spans": [{**each, "token_start": 0} for each in SPANS]}]),
    "spacy pairs": ("json", [[ANNA, {"entities": LABELS}]]),
    "spacy pairs, a line each": ("jsonl", [[ANNA, {"entities": LABELS}], [ANNA, {"entities": []}]]),
    "spacy docs": ("json", [{"text": ANNA, "ents": SPANS, "tokens": [{"id": 0, "start": 0, "end": 4}]}]),
    "spacy annotator": ("json", {"classes": ["PER"], "annotations": [[ANNA, {"entities": LABELS}], None]}),
    "spacy 2": ("json", [{"id": 0, "paragraphs": [{"raw": ANNA, "sentences": [{"tokens": TOKENS}]}]}]),
    "label studio": ("json", [TASK]),
    "label studio, a line each": ("jsonl", [TASK]),
    "label studio, short": (
        "json",
        [
            {
                "id": 1,
                "text": ANNA,
                "tags": [{"start": s, "end": e, "labels": [x]} for s, e, x in LABELS],
                "annotator": 1,
            }
        ],
    ),
    "hub": ("jsonl", [{"id": "7", "tokens": ANNA.split(), "ner_tags": ["B-PER", "I-PER", "O", "O", "B-LOC"]}]),
    "hub with text": ("jsonl", [{"words": ANNA.split(), "ner": ["B-PER", "I-PER", "O", "O", "B-LOC"], "text": ANNA}]),
    "gliner": ("json", [{"tokenized_text": ANNA.split(), "ner": [[0, 1, "PER"], [4, 4, "LOC"]]}]),
    "records over many lines": ("json", json.dumps([{"id": "a", "text": ANNA, "entities": SPANS}], indent=2)),
    "objects one behind the other": (
        "json",
        "\n".join(json.dumps({"text": ANNA, "entities": SPANS}, indent=2) for _ in range(2)),
    ),
}


@pytest.mark.parametrize("name", JSON)
def test_json_of_other_programs(tmp_path, name):
    suffix, value = JSON[name]
    path = write(tmp_path / f"a.{suffix}", value)
    record = read_records(path)[0]
    # Formats of words have none that ends with the period.
    assert [(mention.rstrip("."), label) for mention, label in found(record)] == GOLD
    document = next(read_documents(path))
    assert document.text == ANNA == record.text
    assert (document.words is not None) == (name in ("spacy 2", "hub", "gliner"))


def test_what_was_rejected_or_skipped_is_no_record_but_a_text(tmp_path):
    path = write(
        tmp_path / "prodigy.jsonl",
        [
            {"text": ANNA, "spans": SPANS, "answer": "accept"},
            {"text": "Nothing here.", "spans": [], "answer": "reject"},
            {"text": "Nor here.", "answer": "ignore"},
        ],
    )
    assert [record.text for record in read_records(path)] == [ANNA]
    assert [document.text for document in read_documents(path)] == [ANNA, "Nothing here.", "Nor here."]
    skipped = {**TASK, "annotations": [{"was_cancelled": True, "result": []}]}
    fresh = {"id": 3, "data": {"text": "Fresh."}}
    path = write(tmp_path / "tasks.json", [TASK, skipped, fresh])
    assert [record.id for record in read_records(path)] == ["1"]
    assert [document.text for document in read_documents(path)] == [ANNA, ANNA, "Fresh."]
    assert next(read_documents(path)).row == {"id": 1, "text": ANNA, "source": "letters"}


OFFSETS = {
    "doccano": {"text": EMOJI, "label": UTF_16},
    "prodigy": {"text": EMOJI, "spans": [dict(zip(("start", "end", "label"), each)) for each in UTF_16]},
    "label studio": {
        "data": {"text": EMOJI},
        "annotations": [
            {"result": [region(*each, text=text) for each, text in zip(UTF_16, ("Anna Berg", "Oslo"), strict=True)]}
        ],
    },
}


@pytest.mark.parametrize("name", OFFSETS)
def test_offsets_of_javascript_are_found_out_by_words(tmp_path, name):
    path = write(tmp_path / "a.json", [OFFSETS[name]])
    (record,) = read_records(path)
    assert found(record) == GOLD


def test_offsets_in_characters_stay_where_there_are_emoji(tmp_path):
    labels = [[3, 12, "PER"], [22, 26, "LOC"]]
    assert found(read_records(write(tmp_path / "a.jsonl", [{"text": EMOJI, "label": labels}]))[0]) == GOLD
    # In the middle of words either way: as they are.
    odd = [[4, 8, "PER"]]
    assert found(read_records(write(tmp_path / "a.jsonl", [{"text": EMOJI, "label": odd}]))[0]) == [("nna", "PER")]


def test_blanks_that_people_mark_by_accident_are_no_part_of_a_mention(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"text": ANNA, "label": [[0, 10, "PER"], [18, 23, "LOC"]]}])
    assert found(read_records(path)[0]) == GOLD


def test_tags_that_are_numbers_need_names(tmp_path):
    row = {"tokens": ["Anna", "Berg", "in", "Oslo"], "ner_tags": [1, 2, 0, 3]}
    path = write(tmp_path / "a.jsonl", [row])
    with pytest.raises(ValueError, match=r"a\.jsonl:1: .*numbers without names: .*--tag-names O,B-PER"):
        read_records(path)
    assert found(read_records(path, tag_names="O,B-PER,I-PER,B-LOC")[0]) == GOLD
    assert next(read_documents(path)).words == row["tokens"]
    row = {"w": row["tokens"], "t": ["B-PER", "I-PER", "O", "B-LOC"]}
    assert found(read_records(write(path, [row]), format="hub", columns="w,t")[0]) == GOLD


def test_rows_that_are_not_of_the_named_format_say_so(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"text": ANNA}])
    for name, reason in [
        ("doccano", "'label' should be a list"),
        ("gliner", "'tokenized_text' and 'ner'"),
        ("hub", "'tokens' and 'ner_tags'"),
        ("labelstudio", "a task of Label Studio"),
        ("spacy", r"should be \[text, "),
    ]:
        with pytest.raises(ValueError, match=rf"a\.jsonl:1: .*{reason}"):
            read_records(path, format=name)
    with pytest.raises(ValueError, match=r"'entities' is missing: read as jsonl, it is a text without labels"):
        read_records(path)


def test_labels_of_whole_texts_are_no_mentions(tmp_path):
    rows = [{"text": ANNA, "label": "letter"}, {"text": ANNA, "label": ["letter"], "tags": ["a", "b"], "tokens": 5}]
    path = write(tmp_path / "a.jsonl", rows)
    assert [document.text for document in read_documents(path)] == [ANNA] * 2
    assert format_of(path) == "jsonl"


def test_json_that_is_nested_too_deeply_is_a_row_like_others(tmp_path):
    deep = '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}"
    report = Problems()
    path = write(tmp_path / "a.jsonl", f'{deep}\n{{"text": "Bob", "entities": []}}\n')
    assert [record.text for record in read_records(path, on_error="skip", report=report)] == ["Bob"]
    assert str(report[0]).endswith("a.jsonl:1: JSON that is nested too deeply")
    for name, content in [("b.json", f"[{deep}]"), ("c.jsonl", '{"text": ' + "[" * 500 + "]" * 500 + "}")]:
        with pytest.raises(ValueError, match=rf"{name}:1: "):
            list(read_documents(write(tmp_path / name, content)))


# ---- columns --------------------------------------------------------------------------------------------------------

COLUMNS = {
    "CoNLL-2003": "-DOCSTART- -X- -X- O\n\nAnna NNP I-NP I-PER\nBerg NNP I-NP I-PER\nlives VBZ I-VP O\nin IN I-PP O\n"
    "Oslo NNP I-NP I-LOC\n",
    "MultiCoNER": "# id 1a-2b\tdomain=en\nAnna _ _ B-PER\nBerg _ _ I-PER\nlives _ _ O\nin _ _ O\nOslo _ _ B-LOC\n",
    "UNER": "# sent_id = s-1\n# text = Anna Berg lives in Oslo\n1\tAnna\tB-PER\t-\tann1\n2\tBerg\tI-PER\t-\tann1\n"
    "3\tlives\tO\t-\tann1\n4\tin\tO\t-\tann1\n5\tOslo\tB-LOC\t-\tann1\n",
    "GermEval": "#\thttp://de.wikipedia.org/wiki/X [2009-10-17]\n1\tAnna\tB-PER\tO\n2\tBerg\tI-PER\tO\n3\tlives\tO\tO\n"
    "4\tin\tO\tO\n5\tOslo\tB-LOC\tB-ORGpart\n",
    "CoNLL-2012": "#begin document (bc/cctv/00); part 000\n"
    + "".join(
        f"bc/cctv/00  0  {i}  {word}  NNP  (TOP*  {word}  -  -  spk  {ner}  (ARG0*  (V*)  -\n"
        for i, (word, ner) in enumerate(zip(ANNA[:-1].split(), ["(PER*", "*)", "*", "*", "(LOC)"]))
    )
    + "\n#end document\n",
    "CoNLL-U with tags in its last column": "# sent_id = a\n"
    + "".join(
        f"{i}\t{word}\t_\tX\t_\t_\t0\t_\t_\t{misc}\n"
        for i, (word, misc) in enumerate(
            zip(ANNA[:-1].split(), ["NER=B-PER", "SpaceAfter=Yes|NER=I-PER", "_", "NER=O", "name=B-LOC"]), 1
        )
    ),
    "CoNLL-U Plus": "# global.columns = ID FORM NER UPOS\n"
    + "".join(
        f"{i}\t{word}\t{tag}\tO\n"
        for i, (word, tag) in enumerate(zip(ANNA[:-1].split(), ["B-PER", "I-PER", "O", "O", "B-LOC"]), 1)
    ),
    "tags first": "B-PER\tAnna\nI-PER\tBerg\nO\tlives\nO\tin\nB-LOC\tOslo\n",
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_found_out(tmp_path, name):
    path = write(tmp_path / "a.conll", COLUMNS[name])
    (record,) = read_records(path)
    assert record.text == ANNA[:-1] and found(record) == GOLD
    (document,) = read_documents(path)
    assert document.words == ANNA[:-1].split()


def test_columns_may_be_named(tmp_path):
    path = write(tmp_path / "a.txt", COLUMNS["GermEval"])
    assert found(read_records(path, columns="2,4")[0]) == [("Oslo", "ORGpart")]
    (document,) = read_documents(path, columns="3", format="conll")
    assert document.words == ["B-PER", "I-PER", "O", "O", "B-LOC"]
    for columns in ("0,1", "word,tag", "1,2,3"):
        with pytest.raises(ValueError, match="`columns`"):
            read_records(path, columns=columns)


TAGS = {
    "lower case": "b-PER i-PER o o b-LOC",
    "underscores": "B_PER I_PER O O B_LOC",
    "letters last": "PER-B PER-I O O LOC-B",
    "BMEWO": "B-PER E-PER O O W-LOC",
}


@pytest.mark.parametrize("name", TAGS)
def test_tags_are_read_however_they_are_written(tmp_path, name):
    lines = (f"{word} {tag}\n" for word, tag in zip(ANNA[:-1].split(), TAGS[name].split(), strict=True))
    (record,) = read_records(write(tmp_path / "a.conll", "".join(lines)))
    assert found(record) == GOLD


def test_bare_labels_are_read_where_that_is_said(tmp_path):
    path = write(tmp_path / "a.conll", "Anna PER\nBerg PER\nin O\nOslo LOC\n")
    with pytest.raises(ValueError, match=r"a\.conll:1: .*tag 'PER' should be O or .*--tag-scheme io"):
        read_records(path)
    assert found(read_records(path, tag_scheme="io")[0]) == GOLD
    with pytest.raises(ValueError, match="`tag_scheme` should be io"):
        read_records(path, tag_scheme="bio")


def test_a_number_sign_is_a_comment_only_before_a_sentence_and_only_if_it_is_no_word(tmp_path):
    content = "# a comment\n# id = x\n# O\nand O\n# O\n#Oslo B-LOC\n\n# another one, to be passed over\n#1 O\n"
    first, second = read_records(write(tmp_path / "a.conll", content))
    assert first.tokens == ["#", "and", "#", "#Oslo"] and found(first) == [("#Oslo", "LOC")] and first.id == "x"
    assert second.tokens == ["#1"]


def test_contractions_and_empty_nodes_of_conllu_are_read_as_their_text_has_them(tmp_path):
    lines = ["# text = Vámonos al Prado.", "1-2\tVámonos\t_", "1\tVamos\tO", "2\tnos\tO", "3-4\tal\t_", "3\ta\tO"]
    lines += ["4\tel\tB-LOC", "4.1\tnada\tO", "5\tPrado\tI-LOC", "6\t.\tO"]
    (record,) = read_records(write(tmp_path / "a.iob2", "\n".join(lines)))
    assert record.text == "Vámonos al Prado." and record.tokens == ["Vámonos", "al", "Prado", "."]
    assert found(record) == [("al Prado", "LOC")]


def test_text_comments_that_do_not_fit_are_not_believed(tmp_path):
    (record,) = read_records(write(tmp_path / "a.conll", "# text = Something else\nAnna B-PER\n"))
    assert record.text == "Anna"


def test_brackets_that_do_not_match_are_named(tmp_path):
    path = write(tmp_path / "a.conll", COLUMNS["CoNLL-2012"].replace("*)  (ARG0*", "*  (ARG0*"))
    with pytest.raises(ValueError, match=r"a\.conll:2: .*the bracket of 'PER' is never closed"):
        read_records(path)


def test_words_and_tags_are_called_tsv_too(tmp_path):
    path = write(tmp_path / "a.tsv", "Anna\tB-PER\nBerg\tI-PER\nin\tO\nOslo\tB-LOC\n\nBonn\tB-LOC\n")
    assert [found(record) for record in read_records(path)] == [GOLD, [("Bonn", "LOC")]]
    assert [document.words for document in read_documents(path)] == [["Anna", "Berg", "in", "Oslo"], ["Bonn"]]
    with pytest.raises(ValueError, match="the file has no column 'text'; its columns are 'id', 'body'"):
        list(read_documents(write(tmp_path / "b.tsv", "id\tbody\n1\tx\n")))


# ---- tables of words ------------------------------------------------------------------------------------------------


def test_kaggles_tables(tmp_path):
    table = "Sentence #,Word,POS,Tag\nSentence: 1,Anna,NNP,B-PER\n,Berg,NNP,I-PER\n,in,IN,O\n,Oslo,NNP,B-LOC\n"
    path = write(tmp_path / "a.csv", table + 'Sentence: 2,"""",POS,O\n,Bonn,NNP,B-LOC\n')
    first, second = read_records(path)
    assert found(first) == GOLD and first.id == "Sentence: 1" and second.tokens == ['"', "Bonn"]
    assert next(read_documents(path)).words == ["Anna", "Berg", "in", "Oslo"]
    listed = "Sentence #,Sentence,POS,Tag\n1,Anna Berg in Oslo,[],\"['B-PER', 'I-PER', 'O', 'B-LOC']\"\n"
    assert found(read_records(write(path, listed))[0]) == GOLD
    for words, tags in (
        ("['Anna', 'Berg', 'in', \"Oslo\"]", "['B-PER', 'I-PER', 'O', 'B-LOC']"),
        ("['Anna' 'Berg'\n 'in' 'Oslo']", "['B-PER' 'I-PER' 'O' 'B-LOC']"),
        ("['Anna', 'Berg', 'in', 'Oslo']", "[1, 2, 0, 3]"),
        ("['Anna' 'Berg' 'in' 'Oslo']", "[1 2 0 3]"),
    ):
        rows = io.StringIO()
        csv.writer(rows).writerows([["id", "tokens", "ner_tags"], ["7", words, tags]])
        write(path, rows.getvalue())
        (record,) = read_records(path, tag_names="O,B-PER,I-PER,B-LOC")
        assert found(record) == GOLD and record.id == "7"
        (document,) = read_documents(path)
        assert document.words == ["Anna", "Berg", "in", "Oslo"] and document.row["id"] == "7"
    with pytest.raises(ValueError, match=r"a.csv:2: .*'ner_tags' should be a list such as .*, got '\[B-PER\]'"):
        read_records(write(path, "tokens,ner_tags\nAnna,[B-PER]\n"))
    plain = "token;ner_tag\nAnna;B-PER\nBerg;I-PER\n\nOslo;B-LOC\n"
    assert [found(record) for record in read_records(write(path, plain))] == [GOLD[:1], GOLD[1:]]
    named = "w;t\nAnna;B-PER\n"
    assert found(read_records(write(path, named), columns="w,t")[0]) == [("Anna", "PER")]


# ---- brat -----------------------------------------------------------------------------------------------------------

ANN = "T1\tPER 0 9\tAnna Berg\nR1\tlives Arg1:T1 Arg2:T2\nT2\tLOC 19 23\tOslo\n#1\tAnnotatorNotes T2\tcapital\n"


def test_brats_folders_and_archives(tmp_path):
    folder = tmp_path / "brat"
    folder.mkdir()
    (folder / "one.txt").write_text(ANNA)
    (folder / "one.ann").write_text(ANN)
    (folder / "two.txt").write_text("Nothing.")
    (folder / "two.ann").write_text("")
    (folder / "annotation.conf").write_text("[entities]\nPER\nLOC\n")
    for path in (folder / "one.ann", folder / "one.txt", folder):
        records = read_records(path)
        assert found(records[0]) == GOLD and records[0].id == "one"
    assert [record.text for record in records] == [ANNA, "Nothing."]
    assert [document.text for document in read_documents(folder)] == [ANNA, "Nothing."]
    with zipfile.ZipFile(tmp_path / "brat.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"brat/{file.name}")
        archive.writestr("brat/three.txt", "Not annotated.")
    assert sorted(record.text for record in read_records(tmp_path / "brat.zip")) == [ANNA, "Nothing."]
    documents = {document.row["id"]: document.text for document in read_documents(tmp_path / "brat.zip")}
    assert documents == {"brat/one": ANNA, "brat/two": "Nothing.", "brat/three": "Not annotated."}
    (folder / "two.txt").unlink()
    with pytest.raises(ValueError, match=r"two\.ann: .*no text beside it \(two\.txt\)"):
        read_records(folder)


def test_what_brats_files_can_have_wrong(tmp_path):
    def problem(text, annotations):
        (tmp_path / "a.txt").write_bytes(text.encode())
        (tmp_path / "a.ann").write_text(annotations)
        with pytest.raises(ValueError) as caught:
            read_records(tmp_path / "a.ann")
        return str(caught.value)

    assert "T1 is of several pieces" in problem(ANNA, "T1\tPER 0 4;19 23\tAnna Oslo\n")
    assert "line 1 of the annotations should be ID" in problem(ANNA, "T1\tPER 0\tAnna\n")
    assert "text 'Berg' differs from 'Anna'" in problem(ANNA, "T1\tPER 0 4\tBerg\n")
    # Line ends that were one character when the text was annotated.
    (tmp_path / "a.txt").write_bytes(b"Anna\r\nBerg lives\r\nin Oslo.")
    (tmp_path / "a.ann").write_text("T1\tPER 0 4;5 9\tAnna Berg\nT2\tLOC 19 23\tOslo\n")
    assert found(read_records(tmp_path / "a.ann")[0]) == [("Anna\nBerg", "PER"), ("Oslo", "LOC")]
