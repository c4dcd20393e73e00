"""Schemas: types in every form, files with line numbers in their errors, presets."""

import json
import re
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jpt_ner import presets_jpt
from jpt_ner.schema_jpt import EntityType, Schema, list_presets, load_schema, resolve_schema, save_schema
from jpt_ner.tools.presets import presets_code

ARTIST = "A musician, singer or band."
CITY = "A named city or town."
PAIR = Schema((EntityType("artist", ARTIST), EntityType("city", CITY)))
FULL = Schema(
    (
        EntityType("artist", ARTIST, threshold=0.25, colour="#ffcc00", examples=("Björk", "Sun Ra")),
        EntityType("城市", CITY, threshold=0.0),
        EntityType("no", "Ein Wort: #nein, '\"' \\ 🎉"),
    ),
    name="music",
    version="1.10",
    description="Two kinds of things.",
)
PRESETS = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "schemas").glob("*.yaml"))
Lookalike = namedtuple("Lookalike", "name definition threshold colour examples")


def message_of(call, *args, **kwargs) -> str:
    with pytest.raises(ValueError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def write(folder: Path, text: str | bytes, name: str = "types.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "value",
    [
        PAIR,
        PAIR.to_dict(),
        {"artist": ARTIST, "city": CITY},
        {"artist": {"definition": ARTIST}, " city ": f"  {CITY}\n"},
        {"entity_types": {"artist": ARTIST, "city": {"definition": CITY, "threshold": None, "examples": []}}},
        [{"name": "artist", "definition": ARTIST}, {"name": "city", "definition": CITY}],
        (EntityType("artist", ARTIST), {"name": "city", "definition": "A named\n  city or town."}),
        [Lookalike("artist", ARTIST, None, None, ()), EntityType("city", CITY)],
    ],
)
def test_all_forms_give_the_same_schema(value):
    assert resolve_schema(value) == PAIR


def test_list_of_names_uses_the_name_as_definition():
    assert resolve_schema(["person", " work of art "]).entity_types == (
        EntityType("person", "person"),
        EntityType("work of art", "work of art"),
    )


def test_a_type_may_be_called_entity_types():
    assert resolve_schema({"entity_types": "Names of kinds of entities."}).names == ["entity_types"]


def test_views_of_a_schema():
    assert len(FULL) == 3
    assert FULL.names == ["artist", "城市", "no"]
    assert FULL.descriptions == [f"{ARTIST} For example: Björk, Sun Ra.", CITY, "Ein Wort: #nein, '\"' \\ 🎉"]
    assert FULL.thresholds == {"artist": 0.25, "城市": 0.0}
    assert PAIR.to_dict() == {
        "entity_types": [{"name": "artist", "definition": ARTIST}, {"name": "city", "definition": CITY}]
    }
    assert resolve_schema(json.loads(json.dumps(FULL.to_dict()))) == FULL


@pytest.mark.parametrize("threshold", [0, 1, 0.5, np.float32(0.5)])
def test_threshold_becomes_a_float(threshold):
    schema = resolve_schema([{"name": "city", "definition": CITY, "threshold": threshold}])
    assert schema.thresholds == {"city": threshold} and type(schema.thresholds["city"]) is float


@pytest.mark.parametrize("name", ["types.yaml", "types.yml", "types.JSON"])
def test_files_round_trip(tmp_path, name):
    path = tmp_path / name
    path.write_text("something old")
    save_schema(FULL, path)
    assert load_schema(path) == resolve_schema(str(path)) == resolve_schema(path) == FULL
    assert "城市" in path.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == [name]
    for value in (str(path), path):
        assert "no file is read here" in message_of(resolve_schema, value, files=False)


@pytest.mark.parametrize("value", ["general", PAIR, PAIR.to_dict(), {"types.yaml": ARTIST}, ["types.yaml"]])
def test_without_files_all_other_forms_are_read(value):
    assert resolve_schema(value, files=False) == resolve_schema(value)


def test_saving_validates_and_leaves_the_old_file(tmp_path):
    path = write(tmp_path, "old")
    assert '"artist" has an empty definition' in message_of(save_schema, Schema((EntityType("artist", " "),)), path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    assert "ends in .yaml, .yml or .json" in message_of(save_schema, PAIR, tmp_path / "types.txt")


texts = st.text(max_size=40).map(lambda text: " ".join(text.split())).filter(bool)
names = st.text(max_size=20).map(str.strip).filter(lambda text: len(text.splitlines()) == 1)
entity_types = st.builds(
    EntityType,
    name=names | st.sampled_from(["no", "null", "1.0", "<<", "=", "~", "2024-01-01", "- a: b", "# c", "&a *b"]),
    definition=texts,
    threshold=st.none() | st.floats(0, 1),
    colour=st.none() | st.from_regex(r"#[0-9a-f]{6}", fullmatch=True),
    examples=st.lists(texts, max_size=2).map(tuple),
)
schemas = st.builds(
    Schema,
    entity_types=st.lists(entity_types, min_size=1, max_size=3, unique_by=lambda each: each.name.casefold()).map(
        tuple
    ),
    name=st.none() | texts,
    version=st.none() | texts,
    description=st.none() | texts,
)


@given(schema=schemas, suffix=st.sampled_from([".yaml", ".json"]))
def test_any_schema_round_trips(tmp_path_factory, schema, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    save_schema(schema, path)
    assert load_schema(path) == schema == resolve_schema(schema)


def test_json_escapes_and_tabs(tmp_path):
    text = '{\r\n\t"entity_types": {\r\n\t\t"a\\/b \\ud83d\\ude00": "\u2028x\u0085y\\u00e9\x7f",\r\n\t\t"t": 5}}'
    assert message_of(load_schema, path := write(tmp_path, text, "types.json")).startswith(f"{path}:4: ")
    schema = load_schema(
        write(tmp_path, text.replace('"t": 5', '"t": {"definition": "d", "threshold": 5e-1}'), "t.json")
    )
    assert schema.entity_types == (EntityType("a/b 😀", "x yé\x7f"), EntityType("t", "d", 0.5))


NAMED = {"name": "artist", "definition": ARTIST}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "a preset; got NoneType"),
        (5, "a preset; got '5' (int)"),
        (b"general", "a preset; got bytes"),
        ({"artist", "city"}, "a preset; got set"),
        ({"entity_types": None}, "a preset; got NoneType"),
        ([], "entity_types is empty; give at least one type"),
        ({}, "entity_types is empty; give at least one type"),
        ({"entity_types": [NAMED], "types": []}, 'unknown key "types" in the schema; known keys: name, version,'),
        ({"entity_types": [NAMED], "version": 1.0}, "version must be text, got '1.0' (float)"),
        ({"artist": ""}, 'entity_types: "artist" has an empty definition; describe in words what counts as one'),
        ({"artist": " \n"}, 'entity_types: "artist" has an empty definition; describe in words'),
        ({"artist": None}, 'entity_types: "artist" has an empty definition; describe in words'),
        ([{"name": "artist"}], 'entity_types: "artist" has no definition; describe in words'),
        ({"artist": 5}, "entity_types: \"artist\": definition must be text, got '5' (int)"),
        ({"artist": [ARTIST]}, 'entity_types: "artist": definition must be text, got list'),
        ({"a": "b", 3: ARTIST}, "entity_types: item 2: name must be text, got '3' (int)"),
        ({" ": ARTIST}, "entity_types: item 1: name is empty"),
        (["city", ""], "entity_types: item 2: name is empty"),
        (["city", 5], "entity_types: item 2 must be a name or have name and definition, got '5' (int)"),
        ([{"definition": ARTIST}], "entity_types: item 1 has no name"),
        (["two\nlines"], "entity_types: the name 'two\\nlines' must be on one line"),
        ([{**NAMED, "color": "#ffcc00"}], 'entity_types: "artist" has an unknown field "color"; known fields: name,'),
        ({"artist": NAMED}, 'entity_types: "artist" has its name as key'),
        ([{**NAMED, "colour": "red"}], 'entity_types: "artist": colour must look like "#ffcc00", got \'red\' (str)'),
        ([{**NAMED, "colour": "#ffcc0g"}], 'entity_types: "artist": colour must look like'),
        ([{**NAMED, "examples": "Björk"}], 'entity_types: "artist": examples must be a list of texts, got'),
        ([{**NAMED, "examples": ["Björk", 5]}], 'entity_types: "artist": examples: item 2 must be text'),
        ([{**NAMED, "examples": ["Björk", ""]}], 'entity_types: "artist": examples: item 2 is empty'),
        (["city", "artist", "city"], 'entity_types: "city" repeats "city"; names must differ'),
        ({"Straße": ARTIST, " STRASSE": CITY}, 'entity_types: "STRASSE" repeats "Straße"'),
        ({"home town": ARTIST, "home\ttown": CITY}, "entity_types: 'home\\ttown' repeats \"home town\"; names must"),
        (
            {"artist": {"definition": ARTIST, "\x1b[2J": 1}},
            "entity_types: \"artist\" has an unknown field '\\x1b[2J'; known",
        ),
        (
            {"artist": {"definition": ARTIST, "\ud800": 1}},
            "entity_types: \"artist\" has an unknown field '\\ud800'; known",
        ),
        (Schema(()), "entity_types is empty"),
        ("nonsense", "unknown preset 'nonsense' (presets: ai-research, clinical,"),
        ("types.txt", "unknown preset 'types.txt' (presets: ai-research,"),
        ("", "unknown preset '' (presets: ai-research,"),
        ("A whole text by mistake. " * 200, "unknown preset 'A whole text by mistake. A"),
        ("nowhere/types.yaml", "schema file not found: nowhere/types.yaml"),
        (Path("nowhere/types.json"), "schema file not found: nowhere/types.json"),
        (Path("general"), "a schema file ends in .yaml, .yml or .json, got 'general'"),
        ("\0.yaml", "schema file not found"),
    ],
)
def test_bad_values_name_the_culprit(value, message):
    assert message in message_of(resolve_schema, value)


@pytest.mark.parametrize("threshold", [True, float("nan"), -0.1, 1.01, float("inf"), "0.5", [0.5]])
def test_bad_thresholds(threshold):
    message = message_of(resolve_schema, [{**NAMED, "threshold": threshold}])
    assert message.startswith('entity_types: "artist": threshold must be a number from 0 to 1, got ')


HEAD = "name: music\nentity_types:\n  - name: artist\n    definition: A band.\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HEAD + "colour: blue\n", 5, 'unknown key "colour" in the schema'),
        (HEAD + "    color: blue\n", 5, '"artist" has an unknown field "color"'),
        (
            HEAD + "  - name: hit\n    definition: In the charts, #1 or not.\n",
            6,
            "the text ends before '#1', which is a com",
        ),
        (HEAD + "    threshold: 2\n", 5, '"artist": threshold must be a number from 0 to 1'),
        (HEAD + "    threshold: .nan\n", 5, '"artist": threshold must be a number from 0 to 1'),
        (HEAD + "    threshold: yes\n", 5, "\"artist\": threshold must be a number from 0 to 1, got 'True' (bool)"),
        (HEAD + "    colour: #ffcc00\n", 5, 'colour is empty; YAML needs quotes around it, as in "#ffcc00"'),
        (HEAD + "    examples:\n      - Sun Ra\n      - 99\n", 7, '"artist": examples: item 2 must be text'),
        (HEAD + "  - name: city\n", 5, '"city" has no definition'),
        (HEAD + "  - name: city\n    definition: >-\n\n  - z\n", 6, '"city" has an empty definition'),
        (HEAD + "  - name: city\n    definition:\n      - A town.\n", 6, '"city": definition must be text, got list'),
        (HEAD + "  - definition: A town.\n", 5, "item 2 has no name"),
        (HEAD + "  - definition: A country.\n    name: NO\n", 6, "item 2: name must be text, got 'False' (bool); put"),
        (HEAD + "  -\n    name: Artist\n    definition: A painter.\n", 6, '"Artist" repeats "artist"'),
        (HEAD + "    definition: A singer.\n", 5, 'duplicate key "definition", first on line 4'),
        ("entity_types:\n  on: A switch.\n", 2, 'YAML reads the key on as true; write "on", in quotes'),
        (HEAD + "version: 1.0\n", 5, "version must be text, got '1.0' (float); put it in quotes"),
        (HEAD + "version: 2024-13-45\n", 5, "cannot read '2024-13-45'"),
        (HEAD + "version: !!python/name:os.system\n", 5, "broken YAML: could not determine a constructor"),
        (HEAD + "? [a]\n: b\n", 5, "a key must be text"),
        (HEAD + "version: &a x\ndescription: *a\n", 6, "aliases are not allowed"),
        (HEAD + "\tversion: x\n", 5, "broken YAML"),
        (HEAD + "version: 'x\n", 6, "broken YAML"),
        (HEAD + "---\nname: second\n", 5, "broken YAML"),
        (HEAD + "version: \0\n", 5, "broken YAML: character U+0000 is not allowed"),
        (HEAD.encode() + b"version: \xff\n", 5, "the file is not UTF-8 text"),
        ("entity_types:\n  artist: A band.\n\n  city:\n", 4, '"city" has an empty definition'),
        ("entity_types:\n  artist: A band.\n  artist: A singer.\n", 3, 'duplicate key "artist", first on line 2'),
        ("entity_types:\n  artist: A band.\n  Artist : A singer.\n", 3, '"Artist" repeats "artist"'),
        ("entity_types:\n  artist:\n    name: x\n    definition: A band.\n", 3, '"artist" has its name as key'),
        ("# nothing\n\nname: music\nentity_types: []\n", 4, "entity_types is empty"),
        ("name: music\n\nentity_types: 5\n", 3, "entity_types: expected a dict"),
        ("\n\nname: music\n", 3, "the schema has no entity_types"),
        ("# nothing\n", 1, "the file is empty"),
        ("\n- artist\n- city\n", 2, "a schema is a mapping with the key entity_types, got list"),
        ("[" * 5000 + "]" * 5000, 1, "nested too deeply"),
        (HEAD + "version: !!timestamp soon\n", 5, "cannot read 'soon'; put text in quotes"),
        (HEAD + 'version: !!int ""\n', 5, "cannot read ''; put text in quotes"),
        (HEAD + "version: !!bool perhaps\n", 5, "cannot read 'perhaps'; put text in quotes"),
        (HEAD + 'version: !!float "_"\n', 5, "cannot read '_'; put text in quotes"),
        (HEAD + "version: !!binary é\n", 5, "broken YAML"),
        (HEAD + "!!seq x: y\n", 5, "cannot read 'x'"),
        (HEAD + "version: !!map x\n", 5, "cannot read 'x'"),
        (HEAD + f"    threshold: 0b{'1' * 20_000}\n", 5, "got 'a number of 20000 bits' (int)"),
        (HEAD + f"    threshold: {'1' * 5_000}\n", 5, "cannot read '1111"),
        (HEAD + f"? {'k' * 5_000}\n: x\n", 5, 'unknown key "kkk'),
        (HEAD + f"  - name: {'n' * 5_000}\n", 5, "nnn"),
        (HEAD + "version: {a: [b, [c, d]]}\n", 5, "version must be text, got dict"),
    ],
)
def test_bad_yaml_names_line_and_culprit(tmp_path, text, line, message):
    path = write(tmp_path, text)
    found = message_of(resolve_schema, str(path))
    assert found.startswith(f"{path}:{line}: ") and message in found and len(found) < len(str(path)) + 400


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"entity_types": [\n  {"name": "city"},\n]}', 3, "broken JSON: "),
        ("", 1, "broken JSON: Expecting value"),
        ('{\n"entity_types": [\n{"name": "é",\n"definition": "d",\n"threshold": NaN}]}', 5, '"é": threshold must be'),
        ('{"entity_types": {"a": "b",\n\n"\\u0061": "c"}}', 3, 'duplicate key "a", first on line 1'),
        ('\ufeff{"entity_types": ["a",\n "b",\n "A"]}', 3, '"A" repeats "a"'),
        ('{"entity_types": ["a"],\n "colour": null}', 2, 'unknown key "colour"'),
        ("[" * 100_000, 1, "nested too deeply"),
        ('{"entity_types": ["a"],\n "version": ' + "1" * 5_000 + "}", 1, "broken JSON: a number has too many digits"),
        ('{"entity_types": [\n"half \\ud83d"]}', 2, "name holds half a character"),
    ],
)
def test_bad_json_names_line_and_culprit(tmp_path, text, line, message):
    path = write(tmp_path, text, "types.json")
    found = message_of(load_schema, path)
    assert found.startswith(f"{path}:{line}: ") and message in found


def test_yaml_may_have_comments(tmp_path):
    text = "entity_types: # all\n  artist: A band.  # not a duo\n  city: 'The town #1'\n#dish: Food.\n  village: A # town\n"
    assert load_schema(write(tmp_path, text)).descriptions == ["A band.", "The town #1", "A"]


def test_yaml_never_runs_code(tmp_path):
    flag = tmp_path / "flag"
    load = f"entity_types: !!python/object/apply:os.mkdir ['{flag}']\n"
    assert load_schema(write(tmp_path, load)).names == [str(flag)]
    assert not flag.exists()


@pytest.mark.parametrize("name", ["../secret", "schemas/general", "general\n", "General", ".", "", "a b"])
def test_what_is_no_preset_is_looked_for_nowhere_else(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    save_schema(["pet"], tmp_path / "secret.yaml")
    assert "unknown preset" in message_of(resolve_schema, name)


def test_presets_in_the_code_are_those_in_the_files():
    """`make presets` was run after the last change to schemas/*.yaml."""
    assert Path(presets_jpt.__file__).read_text(encoding="utf-8") == presets_code()
    for name in PRESETS:
        assert resolve_schema(name) == load_schema(Path(__file__).resolve().parents[2] / "schemas" / f"{name}.yaml")


def test_all_presets_are_listed():
    wanted = "general news-politics ai-research restaurant contracts personal-data clinical job-ads music science"
    assert set(wanted.split()) == set(PRESETS) == set(list_presets())
    assert all(list_presets().values())


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in levels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_well_made(name):
    schema = resolve_schema(name)
    assert schema.name == name and schema.version and schema.description
    for each in schema.entity_types:
        assert len(each.definition) > 40 and 15 <= len(each.definition.split()) <= 45, each.name
        assert re.search(r"\b(Not|[Oo]nly)\b", each.definition), f"{each.name}: no exclusion"
        assert each.definition.endswith("."), each.name
        contrast = (luminance(each.colour) + 0.05) / (luminance("#1a1a1a") + 0.05)
        assert contrast > 7, f"{each.name}: dark text is hard to read on {each.colour}"
    assert len({each.colour for each in schema.entity_types}) == len(schema)
    assert len(set(schema.descriptions)) == len(schema)


def test_preset_files_hold_plain_yaml():
    for name in PRESETS:
        path = Path(__file__).resolve().parents[2] / "schemas" / f"{name}.yaml"
        assert resolve_schema(yaml.safe_load(path.read_text(encoding="utf-8"))) == load_schema(path)
