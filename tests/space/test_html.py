"""What the Space draws, without a browser: the text as it was, each entity around its own characters, nothing of users as markup."""

import ast
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jpt_ner.schema_jpt import EntityType, Schema
from jpt_ner.space import snippets
from jpt_ner.space.highlighting import highlight, ink, legend, table
from jpt_ner.tools.files.documents import Document


class Drawn(HTMLParser):
    """The text of HTML without labels of entities, the characters that each entity encloses, and all tags."""

    VOID = ("br", "img", "input")

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.text, self.covered, self.tags = "", {}, []
        self._open = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if any("jpt-label" in (attributes.get("class") or "") for _, attributes in self._open):
            return
        places = range(len(self.text), len(self.text) + len(data))
        for tag, attributes in self._open:
            if tag == "mark":
                self.covered.setdefault(int(attributes["data-entity"]), []).extend(places)
        self.text += data


def entity(start, end, name="x", score=0.5, text=""):
    return {"entity_group": name, "score": score, "word": text[start:end], "start": start, "end": end}


# Carriage returns are for the browser to show as it likes, and NUL is no character of HTML.
TEXTS = st.text(
    st.sampled_from("ab <>&\"'é🙂\n.") | st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=40
)


@given(data=st.data())
def test_any_text_with_any_entities_is_drawn_as_it_is(data):
    text = data.draw(TEXTS.filter(str.strip))
    bounds = st.integers(0, len(text))
    spans = data.draw(
        st.lists(st.tuples(bounds, bounds).map(sorted).filter(lambda span: span[0] < span[1]), max_size=6)
    )
    entities = [entity(*span, data.draw(TEXTS), text=text) for span in spans]
    drawn = Drawn(highlight(text, entities, {}))
    assert drawn.text == text
    assert drawn.covered == {i: list(range(*span)) for i, span in enumerate(spans)}
    assert {tag for tag, _ in drawn.tags} <= {"div", "span", "mark"}
    for tag, attributes in drawn.tags:
        if tag == "mark":
            assert attributes["data-type"] == entities[int(attributes["data-entity"])]["entity_group"]


def test_names_and_words_are_never_markup():
    name, text = '"><script>alert(1)</script>', "<img src=x onerror=alert(1)> & more"
    entities = [entity(0, len(text), name, text=text)]
    for html in (highlight(text, entities, {}), legend(entities, {name: "#ffffff"}), table(entities, {})):
        drawn = Drawn(html)
        assert not {"script", "img"} & {tag for tag, _ in drawn.tags}
        assert not any(key.startswith("on") for _, attributes in drawn.tags for key in attributes)


@given(colour=st.integers(0, 0xFFFFFF).map("#{:06x}".format))
def test_ink_can_be_read_on_any_colour(colour):
    """Contrast of WCAG 2.2, of which normal text needs 4.5."""

    def luminance(value):
        channels = [int(value[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted([luminance(colour), luminance(ink(colour))], reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


@given(text=TEXTS, name=TEXTS.filter(str.strip), definition=TEXTS.filter(str.strip))
def test_python_snippet_holds_exactly_these_values(text, name, definition):
    schema = Schema((EntityType(name, definition, 0.4, "#ffffff", ("a", "b")),))
    code = ast.parse(snippets.python_code(text, schema, 0.25, True, "model"))
    values = {}
    for node in ast.walk(code):
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call):
            values[node.targets[0].id] = ast.literal_eval(node.value)
        if isinstance(node, ast.keyword) and not isinstance(node.value, ast.Name):
            values[node.arg] = ast.literal_eval(node.value)
    assert values["text"] == text and (values["threshold"], values["nested"]) == (0.25, True)
    assert values["entity_types"] == [
        {"name": name, "definition": definition, "threshold": 0.4, "examples": ["a", "b"]}
    ]


def test_tags_cannot_overlap_in_conll():
    text = "New York Times"
    flat, nested = [entity(0, 8), entity(9, 14)], [entity(0, 14), entity(0, 8)]
    name, content = snippets.entity_file("conll", [(Document(1, {"text": text}, text), flat)])
    assert name.endswith(".conll") and content.decode().splitlines()[:3] == ["New\tB-x", "York\tI-x", "Times\tB-x"]
    with pytest.raises(ValueError, match="cannot hold overlapping"):
        snippets.entity_file("conll", [(Document(1, {"text": text}, text), nested)])
