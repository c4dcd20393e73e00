"""Words, decoding and labelling, against slow references and on difficult texts."""

import itertools
import math
import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jpt_ner import words_jpt
from jpt_ner.labels_jpt import label_tokens, tag_types
from jpt_ner.spans_jpt import DEFAULT_TRANSITION_PENALTY, decode_nested_spans, decode_spans
from jpt_ner.words_jpt import split_words, trim_blanks, trim_span

FAMILY = "👨\u200d👩\u200d👧"
ALPHABET = [*"ab A.Ñ5-,.'\"()$%+#@!", " ", "\n", "\r\n", "\t", "\x00", "\xa0", "\u200b", "\u200d", "\u200c", "\ufeff"]
ALPHABET += [
    "the ",
    "Inc.",
    "巴",
    "黎",
    "ト",
    "ก",
    "ำ",
    "서",
    "م",
    "ב",
    "é",
    "e\u0301",
    "\u0301",
    "😀",
    "🇫",
    FAMILY,
    "\u202e",
]
TEXTS = st.lists(st.sampled_from(ALPHABET) | st.characters(), max_size=25).map("".join)


@st.composite
def tokenised(draw, overlapping=True):
    """A text with ascending token ranges: gaps, empty tokens and (if wanted) shared and crossing ranges."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=20)))
    ranges = []
    for start, end in itertools.pairwise(cuts):
        if overlapping:
            end = min(len(text), end + draw(st.integers(0, 2)))
        ranges += [(start, end)] * draw(st.sampled_from([1, 1, 1, 0, 3] if overlapping else [1, 1, 3]))
    return text, np.array(ranges, dtype=np.int64).reshape(-1, 2)


def random_probabilities(seed, rows, columns, sharpness=3.0):
    logits = np.random.default_rng(seed).normal(size=(rows, columns)) * sharpness
    values = np.exp(logits)
    return (values / values.sum(axis=1, keepdims=True)).astype(np.float32)


def whole_words(text):
    """Tokens that are the words of the text, and a function from types per token to one-hot probabilities."""
    offsets = np.array(split_words(text)).reshape(-1, 2)
    return offsets, lambda types, number=3: np.eye(number + 1, dtype=np.float32)[np.asarray(types, dtype=np.int64)]


def ranges_of(spans):
    return [(span.start, span.end, span.type_index) for span in spans]


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Obama's 1,000 U.S. snake_case", ["Obama", "'", "s", "1,000", "U", ".", "S", ".", "snake_case"]),
        ("C++ \r\n$3.50,-5 °C", ["C", "+", "+", "$", "3.50", ",", "-", "5", "°", "C"]),
        ("東京タワーへ行く", list("東京タワーへ行く")),
        ("서울에서", list("서울에서")),
        (unicodedata.normalize("NFD", "서울"), [unicodedata.normalize("NFD", part) for part in "서울"]),
        ("กรุงเทพฯ ที่", ["ก", "รุ", "ง", "เ", "ท", "พ", "ฯ", "ที่"]),
        ("น้ำ", ["น้ำ"]),
        ("القاهرة، مصر", ["القاهرة", "،", "مصر"]),
        ("नई दिल्ली", ["नई", "दिल्ली"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("cafe\u0301 Diplo\u00admacy", ["cafe\u0301", "Diplo\u00admacy"]),
        (f"{FAMILY}👍🏽🇫🇷🇩🇪❤\ufe0f1\ufe0f\u20e3", [FAMILY, "👍🏽", "🇫🇷", "🇩🇪", "❤\ufe0f", "1\ufe0f\u20e3"]),
        ("🏴\U000e0067\U000e0062\U000e007f!", ["🏴\U000e0067\U000e0062\U000e007f", "!"]),
        ("a\x00b\u200bc \u202e \ufeff", ["a", "b", "c"]),
        ("", []),
    ],
)
def test_words(text, words):
    assert [text[start:end] for start, end in split_words(text)] == words


@given(TEXTS)
def test_words_cover_every_visible_character_once(text):
    ranges = split_words(text)
    assert all(start < end for start, end in ranges)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(ranges))
    covered = {position for start, end in ranges for position in range(start, end)}
    for position, character in enumerate(text):
        if character.isspace():
            assert position not in covered
        elif unicodedata.category(character)[0] in "LNPSM":
            assert position in covered


# ---- trimming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marked", "kept"),
    [
        ("in [Science and] Cell", "Science"),
        ("the [rock and roll or] jazz", "rock and roll"),
        ("[Johnson and Johnson] said", "Johnson and Johnson"),
        ("the word [and]", "and"),
        ("treated [PCI )] daily", "PCI"),
        ("treated [(PCI] )", "PCI"),
        ("treated [(PCI)] daily", "PCI"),
        ('[" Hey Jude "] by', "Hey Jude"),
        ("[``Hey Jude'']", "Hey Jude"),
        ("[Heroes (album)] by", "Heroes (album)"),
        ("[(555) 123-4567]", "(555) 123-4567"),
        ('[Dwayne "The Rock"] is', 'Dwayne "The Rock"'),
        ('["Weird Al" Yankovic]', '"Weird Al" Yankovic'),
        ("[«Le Monde»], hier", "Le Monde"),
        ("[the Beatles']", "Beatles"),
        ("[the O'Neills']", "O'Neills"),
        ("[§ 5 BGB,]", "§ 5 BGB"),
        ("[U.S. ,] he said", "U.S."),
        ("[Apple Inc.] said", "Apple Inc."),
        ("[in Paris.]", "in Paris"),
        ("[Inc .] said", "Inc"),
        ("[Robert J.] came", "Robert J."),
        ("at [5 p.m.] sharp", "5 p.m."),
        ("[Yahoo!] said", "Yahoo!"),
        ("i love [Paris!] We", "Paris"),
        ("[\n the White House \r\n]", "White House"),
        ("[The]", "The"),
        ("[The ,] he", "The"),
        ("[an apple]", "apple"),
        ("[The A Team]", "The A Team"),
        ("[Theodor Storm]", "Theodor Storm"),
        ("[A. Smith]", "A. Smith"),
        ("for [$50.]", "$50"),
        ("for [$ 50 ,]", "$ 50"),
        ("for [50 €]", "50 €"),
        ("[50%],", "50%"),
        ("[50 %]", "50 %"),
        ("[%50]", "%50"),
        ("[, %] of", ""),
        ("at [-5 °C]", "-5 °C"),
        ("from 10[-5 °C]", "5 °C"),
        ("[< 5 mg]", "< 5 mg"),
        ("[- Paris -]", "Paris"),
        ("wrote [C++, ]", "C++"),
        ("Paris [London ++]", "London"),
        ("in [C#].", "C#"),
        ("in [.NET]", ".NET"),
        ("thanks [@user_1:]", "@user_1"),
        ("thanks [#metoo!]", "#metoo"),
        ("the [A*] search", "A*"),
        ("[**Paris**]", "Paris"),
        ("[| Paris |]", "Paris"),
        ("costs [$$$]", "$$$"),
        ("[👍🏽]", "👍🏽"),
        ("[กรุงเทพฯ]", "กรุงเทพฯ"),
        ("[「東京」。]", "東京"),
        ("[القاهرة،] مصر", "القاهرة"),
        ("[...]", ""),
        ("[ ]", ""),
        ("moved to [The Hague]", "The Hague"),
        ("near [the Danube]", "Danube"),
        ("Rain. [The Danube] rose", "The Danube"),
        ('read "[The Woman in White]" twice', "The Woman in White"),
        ("[A Coruña]", "A Coruña"),
        ("in [A Coruña]", "A Coruña"),
        ("is [HER2-] and", "HER2-"),
        ("is [HER2+] and", "HER2+"),
        ("type [AB-], or", "AB-"),
        ("type [O−]", "O−"),
        ("a [Paris-]based firm", "Paris"),
        ("[Paris -]", "Paris"),
        ("in [/etc/nginx/]", "/etc/nginx/"),
        ("[Paris/]London", "Paris"),
        ("met ['t Hooft] there", "'t Hooft"),
        ("met ['Ndrangheta]", "'Ndrangheta"),
        ("said ['Paris]' and", "Paris"),
        ("at [10 a.m.]", "10 a.m."),
        ("at [10 A.M.] sharp", "10 A.M."),
        ("<a href='x.html'>[Siemens</a>] grew", "Siemens"),
        ("[<b>Siemens</b>] grew", "Siemens"),
        ("[Sie<b>mens</b> AG] grew", "Sie<b>mens</b> AG"),
        ("if [a<b] then", "a<b"),
    ],
)
def test_trimming(marked, kept):
    start = marked.index("[")
    end = marked.rindex("]") - 1
    text = marked.replace("[", "", 1)
    text = text[:end] + text[end + 1 :]
    left, right = trim_span(text, start, end)
    assert text[left:right] == kept
    assert start <= left <= right <= end


def test_an_article_that_begins_a_sentence_stays_where_the_model_says_so():
    text = "The Hague lies west . The Rhine flows ."
    offsets, _ = whole_words(text)
    inside = [0.55, 0.9, 0, 0, 0, 0.05, 0.9, 0, 0]
    probabilities = np.array([[1 - value, value] for value in inside])
    for found in (
        decode_spans(text, offsets, probabilities),
        decode_nested_spans(text, offsets, probabilities[:, 1:]),
    ):
        assert [text[span.start : span.end] for span in found] == ["The Hague", "Rhine"]


def test_marks_at_the_ends_of_given_words_do_not_count():
    text = '"Lisbon," he said ...'
    offsets = [(0, 1), (1, 7), (7, 8), (8, 9), (9, 12), (12, 17), (17, 21)]
    words = [(0, 9), (10, 12), (13, 17), (18, 21)]
    inside = [0.1, 0.9, 0.1, 0.1, 0, 0, 0.8]
    probabilities = np.array([[1 - value, value] for value in inside])
    for found in (
        decode_spans(text, offsets, probabilities, words=words),
        decode_nested_spans(text, offsets, probabilities[:, 1:], words=words),
    ):
        assert [text[span.start : span.end] for span in found] == ['"Lisbon,"', "..."]
        assert [span.score for span in found] == pytest.approx([0.9, 0.8])


def test_every_trimming_rule_keeps_something():
    """Every rule must have an effect."""
    marked = {
        "closing": "Heroes (album)",
        "unit": "50 %",
        "abbreviation": "Apple Inc.",
        "exclamation": "Yahoo! said",
        "plus": "C++",
        "minus": "AB-",
        "star": "A*",
        "ending": "C#",
        "folder": "/etc/nginx/",
        "opening": "(555) 123",
        "sign": "-5",
        "handle": "@user",
        "leading": ".NET",
        "elision": "'t Hooft",
    }
    for name in ("RULES_AT_RIGHT", "RULES_AT_LEFT"):
        rules = getattr(words_jpt, name)
        for rule in rules:
            text = marked.pop(rule.__name__.strip("_"))
            end = len("Yahoo!") if "Yahoo" in text else len(text)
            assert trim_span(text, 0, end) == (0, end)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(words_jpt, name, tuple(each for each in rules if each is not rule))
                assert trim_span(text, 0, end) != (0, end), rule
    assert not marked


@given(TEXTS, st.data())
def test_trimming_stays_inside_and_leaves_no_blank(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    left, right = trim_span(text, start, end)
    assert start <= left <= right <= end
    assert text[left:right] == text[left:right].strip()


# ---- flat decoding --------------------------------------------------------------------------------------------------


def naive_pool(offsets, probabilities, ranges):
    """Mean over overlapping tokens; O for a word without any."""
    pooled = np.zeros((len(ranges), probabilities.shape[1]))
    pooled[:, 0] = 1
    for row, (start, end) in enumerate(ranges):
        rows = [
            values
            for (left, right), values in zip(offsets, probabilities)
            if left < right and max(left, start) < min(right, end)
        ]
        if rows:
            pooled[row] = np.mean(np.array(rows, dtype=np.float64), axis=0)
    return pooled


def path_value(pooled, path, transition_penalty, outside_bias):
    value = sum(math.log(pooled[row, state]) + outside_bias * (state == 0) for row, state in enumerate(path))
    return value - sum(
        transition_penalty for left, right in itertools.pairwise(path) if left != right and left > 0 < right
    )


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.3, 2.0, math.inf]),
    st.sampled_from([0.0, -1.5, 0.7]),
)
def test_best_path_equals_the_best_of_all_paths(seed, number_of_words, types, transition_penalty, outside_bias):
    text = " ".join(["word"] * number_of_words)
    offsets, _ = whole_words(text)
    probabilities = random_probabilities(seed, number_of_words, types + 1)
    spans = decode_spans(
        text, offsets, probabilities, transition_penalty=transition_penalty, outside_bias=outside_bias
    )
    found = [0] * number_of_words
    for span in spans:
        for row, (start, end) in enumerate(offsets):
            if span.start <= start and end <= span.end:
                found[row] = span.type_index + 1
    pooled = probabilities.astype(np.float64)
    best = max(
        path_value(pooled, path, transition_penalty, outside_bias)
        for path in itertools.product(range(types + 1), repeat=number_of_words)
    )
    assert path_value(pooled, found, transition_penalty, outside_bias) == pytest.approx(best, abs=1e-9)
    assert [span.end for span in spans] == sorted(span.end for span in spans)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.integers(1, 2),
    st.sampled_from([0.0, 0.3, 2.0]),
    st.sampled_from([0.0, -1.5, 0.7]),
)
def test_best_path_with_begins_equals_the_best_of_all(seed, number_of_words, types, transition_penalty, outside_bias):
    """Over all sequences of O, begin and inside of each type, where only what has begun continues."""
    text = " ".join(["word"] * number_of_words)
    offsets, _ = whole_words(text)
    probabilities = random_probabilities(seed, number_of_words, types + 1)
    begins = np.random.default_rng(seed + 1).uniform(size=(number_of_words, types))
    spans = decode_spans(
        text, offsets, probabilities, transition_penalty=transition_penalty, outside_bias=outside_bias, begins=begins
    )
    states = [(0, False), *itertools.product(range(1, types + 1), (True, False))]

    def value(path):
        total, before = 0.0, 0
        for row, (state, begin) in enumerate(path):
            total += math.log(probabilities[row, state]) + outside_bias * (state == 0)
            if state:
                if not begin and state != before:
                    return -math.inf
                total += math.log(begins[row, state - 1] if begin else 1 - begins[row, state - 1])
                total -= transition_penalty * (begin and before not in (0, state))
            before = state
        return total

    best = max(itertools.product(states, repeat=number_of_words), key=value)
    starts = [row for row, (_, begin) in enumerate(best) if begin]
    expected = []
    for row in starts:
        end = next((i for i in range(row + 1, number_of_words) if best[i] != (best[row][0], False)), number_of_words)
        expected.append((int(offsets[row][0]), int(offsets[end - 1][1]), best[row][0] - 1))
    assert ranges_of(spans) == expected


def test_begins_tell_neighbours_apart():
    text = "Ne , Mg and Si Fe, an alloy"
    offsets, one_hot = whole_words(text)
    types = [1, 0, 1, 0, 1, 1, 0, 0, 0]
    begins = np.array([0.9, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.1, 0.1])[:, None].repeat(3, axis=1)
    found = decode_spans(text, offsets, one_hot(types), begins=begins)
    assert [text[span.start : span.end] for span in found] == ["Ne", "Mg", "Si", "Fe"]
    nested = decode_nested_spans(text, offsets, one_hot(types)[:, 1:], begins=begins)
    assert [text[span.start : span.end] for span in nested] == ["Ne", "Mg", "Si", "Fe"]
    for plain in (
        decode_spans(text, offsets, one_hot(types)),
        decode_nested_spans(text, offsets, one_hot(types)[:, 1:]),
        decode_spans(text, offsets, one_hot(types), rule="token", begins=begins),
        decode_spans(text, offsets, one_hot(types), begins=np.full((9, 3), 0.5)),  # an untrained head
    ):
        assert [text[span.start : span.end] for span in plain] == ["Ne", "Mg", "Si Fe"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("the 1990 Irish election", ["1990 Irish election"]),
        ("buy 3 green apples", ["3 green apples"]),
        ("buy Six green apples", ["Six green apples"]),
        ("the 1990th Irish election", ["1990th", "Irish election"]),
        ("the 1990\nIrish election", ["1990", "Irish election"]),
        ("the 1990 1991 election", ["1990", "1991 election"]),
        ("the Irish Mayo election", ["Irish", "Mayo election"]),
    ],
)
def test_a_number_goes_with_the_name_behind_it(text, expected):
    offsets, one_hot = whole_words(text)
    probabilities = 0.9 * one_hot([0, 1, 1, 1]) + 0.025
    begins = np.array([0.1, 0.9, 0.7, 0.1])[:, None].repeat(3, axis=1)
    options = {"transition_penalty": 0.0, "begins": begins}
    assert [text[span.start : span.end] for span in decode_spans(text, offsets, probabilities, **options)] == expected
    nested = decode_nested_spans(text, offsets, probabilities[:, 1:], begins=begins)
    assert [text[span.start : span.end] for span in nested] == expected


def test_a_number_of_another_type_is_left_apart():
    text = "in 1990 Ireland voted"
    offsets, one_hot = whole_words(text)
    begins = np.array([0.1, 0.9, 0.9, 0.1])[:, None].repeat(3, axis=1)
    found = decode_spans(text, offsets, 0.9 * one_hot([0, 1, 2, 0]) + 0.025, begins=begins)
    assert [(text[span.start : span.end], span.type_index) for span in found] == [("1990", 0), ("Ireland", 1)]


def test_line_breaks_within_a_tag_of_markup_do_not_tear_it_apart():
    text = 'Marta Kovac<sup\n id="cite">1</sup> left'
    ranges = [(0, 5), (5, 11), (11, 12), (12, 15), (15, 16), (16, 19), (19, 22), (22, 28), (28, 29), (29, 39)]
    inside = [1, 1, 0.9, 0.9, 0.9, 0, 0, 0, 0, 0]
    spans = decode_spans(text, ranges, np.array([[1 - p, p] for p in inside]))
    assert [text[span.start : span.end] for span in spans] == ["Marta Kovac"]
    assert np.isfinite([span.score for span in spans]).all()


def test_line_breaks_and_tabs_keep_their_label():
    text = "Anna Berg\nTom Hill\t Sara\n  Lund"
    tokens = ["Anna", " Berg", "\n", "Tom", " Hill", "\t", " Sara", "\n ", " Lund"]
    ends = np.cumsum([len(token) for token in tokens])
    offsets = np.column_stack([ends - [len(token) for token in tokens], ends])
    inside = np.array([1, 1, 0, 1, 1, 0, 1, 1, 1])  # the last break is one within a mention
    probabilities = np.eye(2)[inside]
    for found in (
        decode_spans(text, offsets, probabilities),
        decode_nested_spans(text, offsets, probabilities[:, 1:]),
        decode_spans(text, offsets, probabilities, rule="token"),
    ):
        assert [text[span.start : span.end] for span in found] == ["Anna Berg", "Tom Hill", "Sara\n  Lund"]
        assert all(span.score == 1 for span in found)


@settings(deadline=None)
@given(tokenised(), st.integers(0, 2**32))
def test_pooling_and_scores_equal_a_naive_reference(sample, seed):
    text, offsets = sample
    probabilities = random_probabilities(seed, len(offsets), 4)
    ranges = split_words(text)
    pooled = naive_pool(offsets, probabilities, ranges)
    spans = decode_spans(text, offsets, probabilities, words=ranges, transition_penalty=0.0, top_k=2)
    path = pooled.argmax(axis=1) if len(ranges) else []
    expected, row = [], 0
    for state, rows in itertools.groupby(path):
        size = len(list(rows))
        if state:
            mean = pooled[row : row + size].mean(axis=0)[1:]
            others = sorted((index for index in range(3) if index != state - 1), key=lambda index: -mean[index])
            bounds = (ranges[row][0], ranges[row + size - 1][1])
            expected.append((*bounds, state - 1, mean[state - 1], [mean[index] for index in others]))
        row += size
    assert ranges_of(spans) == [entry[:3] for entry in expected]
    for span, (_, _, type_index, score, others) in zip(spans, expected):
        assert span.score == pytest.approx(score, abs=1e-6)
        assert [value for _, value in span.alternatives] == pytest.approx(others, abs=1e-6)
        assert {index for index, _ in span.alternatives} == {0, 1, 2} - {type_index}


@settings(deadline=None, max_examples=200)
@given(tokenised(), st.integers(0, 2**32), st.sampled_from(["word", "token"]), st.sampled_from([0.0, 2.0, math.inf]))
def test_spans_are_ordered_disjoint_and_without_stray_whitespace(sample, seed, rule, transition_penalty):
    text, offsets = sample
    probabilities = random_probabilities(seed, len(offsets), 4)
    spans = decode_spans(
        text, offsets, probabilities, rule=rule, transition_penalty=transition_penalty, outside_bias=-1.0, top_k=1
    )
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start : span.end] == text[span.start : span.end].strip()
        assert type(span.start) is type(span.end) is type(span.type_index) is int
        assert type(span.score) is float
        assert 0 <= span.score <= 1
    assert all(left.end <= right.start for left, right in itertools.pairwise(spans))


def test_words_heal_what_token_argmax_breaks():
    text = "He met Ayaan Hirsi Ali."
    offsets = np.array([(0, 2), (2, 6), (6, 8), (8, 12), (12, 18), (18, 22), (22, 23)])
    probabilities = np.array(
        [[0.9, 0.1, 0], [0.9, 0.1, 0], [0.6, 0.4, 0], [0.1, 0.9, 0], [0.1, 0.4, 0.5], [0.1, 0.9, 0], [0.4, 0.6, 0]],
        dtype=np.float32,
    )
    by_token = decode_spans(text, offsets, probabilities, rule="token")
    assert [text[span.start : span.end] for span in by_token] == ["yaan", "Hirsi", "Ali."]
    (span,) = decode_spans(text, offsets, probabilities)
    assert text[span.start : span.end] == "Ayaan Hirsi Ali"
    assert span.score == pytest.approx((0.65 + 0.4 + 0.9) / 3)
    assert DEFAULT_TRANSITION_PENALTY > 0


def test_transition_penalty_and_outside_bias():
    offsets, one_hot = whole_words("Paris France")
    probabilities = 0.8 * one_hot([1, 2], 2) + 0.2 / 3
    assert ranges_of(decode_spans("Paris France", offsets, probabilities, transition_penalty=0)) == [
        (0, 5, 0),
        (6, 12, 1),
    ]
    assert len(decode_spans("Paris France", offsets, probabilities, transition_penalty=10)) == 1
    assert decode_spans("Paris France", offsets, probabilities, outside_bias=10) == []


def test_token_across_two_words_counts_for_both():
    text = "New York"
    probabilities = np.array([[0.1, 0.9], [0.5, 0.5], [0.3, 0.7]])
    (span,) = decode_spans(text, [(0, 2), (2, 5), (5, 8)], probabilities)
    assert (span.start, span.end) == (0, 8)
    assert span.score == pytest.approx((0.7 + 0.6) / 2)


def test_bytes_of_one_character_stay_together():
    text = "a😀b"
    offsets = [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    probabilities = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.9, 0.1], [1, 0, 0]])
    for rule in ("word", "token"):
        (span,) = decode_spans(text, offsets, probabilities, rule=rule)
        assert (span.start, span.end, span.type_index) == (1, 2, 0)
        assert span.score == pytest.approx(1.9 / 3)


def test_tokens_may_decide_inside_scripts_without_spaces():
    text = "我在北京工作"
    offsets, one_hot = whole_words(text)
    assert ranges_of(decode_spans(text, offsets, one_hot([0, 0, 1, 1, 0, 0]))) == [(2, 4, 0)]
    assert ranges_of(decode_spans(text, [(0, 2), (2, 4), (4, 6)], one_hot([0, 1, 0]))) == [(2, 4, 0)]


def test_word_without_token_is_outside_whatever_the_bias():
    spans = decode_spans("one two three", [(0, 3), (8, 13)], np.array([[0, 1.0], [0, 1.0]]), outside_bias=-100)
    assert ranges_of(spans) == [(0, 3, 0), (8, 13, 0)]


def test_thresholds():
    text = "Paris, Rome"
    offsets, _ = whole_words(text)
    probabilities = np.array([[0.25, 0.75, 0], [1, 0, 0], [0.375, 0, 0.625]])
    for thresholds, types in [
        (None, [0, 1]),
        (0.625, [0, 1]),
        (0.7, [0]),
        ([0.8, None], [1]),
        ([None, 0.7], [0]),
        ((1.0, 1.0), []),
    ]:
        spans = decode_spans(text, offsets, probabilities, thresholds=thresholds)
        assert [span.type_index for span in spans] == types


def test_top_k_lists_other_types_most_probable_first():
    probabilities = np.array([[0.1, 0.1, 0.5, 0.1, 0.2], [0.1, 0.1, 0.5, 0.3, 0.0]])
    (span,) = decode_spans("New York", [(0, 3), (3, 8)], probabilities, top_k=2)
    assert [index for index, _ in span.alternatives] == [2, 0]
    assert [value for _, value in span.alternatives] == pytest.approx([0.2, 0.1])
    (span,) = decode_spans("New York", [(0, 3), (3, 8)], probabilities, top_k=99)
    assert len(span.alternatives) == 3


@pytest.mark.parametrize("rule", ["word", "token"])
def test_given_words_are_kept_whole(rule):
    text = "the U.S. , won"
    words = [(0, 3), (4, 8), (9, 10), (11, 14)]
    offsets = [(0, 3), (3, 5), (5, 6), (6, 7), (7, 8), (8, 10), (10, 14)]
    probabilities = np.array([[0.2, 0.8], [0, 1], [0, 1], [0.6, 0.4], [0, 1], [0, 1], [1, 0]])
    assert ranges_of(decode_spans(text, offsets, probabilities, words=words, rule=rule)) == [(0, 10, 0)]
    assert ranges_of(decode_spans(text, offsets, probabilities, outside_bias=-1.0)) == [(4, 8, 0)]


def test_crlf_and_empty_tokens_do_not_shift_offsets():
    text = "\r\nParis\r\n\r\nRome\r\n"
    offsets = [(0, 0), (0, 2), (2, 7), (7, 11), (11, 15), (15, 17), (0, 0)]
    probabilities = np.eye(3)[[2, 1, 1, 1, 2, 2, 1]]
    for rule in ("word", "token"):
        assert ranges_of(decode_spans(text, offsets, probabilities, rule=rule)) == [(2, 7, 0), (11, 15, 1)]


@pytest.mark.parametrize("text", ["", " \n\x00"])
def test_empty_and_blank_texts(text):
    offsets = np.array([(0, len(text))] * bool(text)).reshape(-1, 2)
    probabilities = np.tile([[0.1, 0.9]], (len(offsets), 1)).reshape(-1, 2)
    for rule in ("word", "token"):
        assert decode_spans(text, offsets, probabilities, rule=rule) == []
    assert decode_nested_spans(text, offsets, probabilities) == []
    assert not label_tokens(text, offsets, []).labels.any()


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("rule", {"rule": "bio"}),
        ("transition_penalty", {"transition_penalty": -1.0}),
        ("outside_bias", {"outside_bias": math.nan}),
        ("top_k", {"top_k": -1}),
        ("thresholds", {"thresholds": [0.5]}),
        ("thresholds", {"thresholds": 1.5}),
        ("words", {"words": [(0, 5), (4, 6)]}),
        ("words", {"words": [(5, 5)]}),
        ("words", {"words": [(0, 99)]}),
        ("offsets", {"offsets": [(0, 3), (3, 99)]}),
        ("offsets", {"offsets": [(3, 5), (0, 3)]}),
        ("offsets", {"offsets": [(0.0, 3.0), (3.0, 5.0)]}),
        ("probabilities", {"probabilities": np.array([[0.5, 0.5, 0.0]])}),
        ("probabilities", {"probabilities": np.ones((2, 1))}),
        ("probabilities", {"probabilities": np.array([[0.5, np.nan, 0.0], [1, 0, 0]])}),
        ("probabilities", {"probabilities": np.array([[0.5, np.inf, 0.0], [1, 0, 0]])}),
        ("softmax", {"probabilities": np.array([[-3.0, 2.0, 0.0], [1, 0, 0]])}),
    ],
)
def test_bad_arguments_are_named(named, arguments):
    probabilities = np.array([[0.2, 0.8, 0.0], [0.2, 0.8, 0.0]])
    arguments = {"text": "Paris.", "offsets": [(0, 5), (5, 6)], "probabilities": probabilities, **arguments}
    with pytest.raises(ValueError, match=named):
        decode_spans(**arguments)


# ---- nested decoding ------------------------------------------------------------------------------------------------


def test_nested_spans():
    text = "the University of Paris , France"
    offsets, _ = whole_words(text)
    probabilities = np.zeros((6, 3))
    probabilities[0:5, 0] = 0.9
    probabilities[3, 1] = 0.6
    probabilities[5, 1] = 0.5
    probabilities[5, 2] = 0.5
    spans = decode_nested_spans(text, offsets, probabilities, top_k=1)
    assert ranges_of(spans) == [(4, 23, 0), (18, 23, 1), (26, 32, 1), (26, 32, 2)]
    assert spans[1].score == pytest.approx(0.6)
    assert spans[1].alternatives == ((0, pytest.approx(0.9)),)
    assert ranges_of(decode_nested_spans(text, offsets, probabilities, thresholds=[0.95, None, 0.4])) == [
        (18, 23, 1),
        (26, 32, 1),
        (26, 32, 2),
    ]
    whole = decode_nested_spans(text, offsets, probabilities, words=split_words(text))
    assert ranges_of(whole)[0] == (0, 25, 0)
    with pytest.raises(ValueError, match="type_probabilities"):
        decode_nested_spans(text, offsets, np.full((6, 3), np.nan))


@settings(deadline=None)
@given(tokenised(), st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 0.5]))
def test_nested_runs_equal_a_naive_reference(sample, seed, threshold):
    text, offsets = sample
    probabilities = np.random.default_rng(seed).random((len(offsets), 2))
    ranges = split_words(text)
    with_outside = np.column_stack([np.zeros(len(offsets)), probabilities])
    pooled = naive_pool(offsets, with_outside, ranges)
    expected = []
    for type_index in range(2):
        row = 0
        # naive_pool marks words without tokens by an O of one.
        inside = [values[0] == 0 and values[type_index + 1] >= threshold for values in pooled]
        for state, rows in itertools.groupby(inside):
            size = len(list(rows))
            if state:
                expected.append((ranges[row][0], ranges[row + size - 1][1], type_index))
            row += size
    expected.sort(key=lambda entry: (entry[0], -entry[1], entry[2]))
    assert ranges_of(decode_nested_spans(text, offsets, probabilities, thresholds=threshold, words=ranges)) == expected
    for span in decode_nested_spans(text, offsets, probabilities, thresholds=threshold):
        assert text[span.start : span.end] == text[span.start : span.end].strip()
        assert threshold - 1e-9 <= span.score <= 1


# ---- labels ---------------------------------------------------------------------------------------------------------


def test_labels_with_leading_spaces_and_shared_bytes():
    text = "Mr Obama saw 😀 in  New  York."
    #       0123456789...
    offsets = [(0, 2), (2, 8), (8, 12), (12, 14), (13, 14), (13, 14), (14, 17), (17, 18)]
    offsets += [(18, 22), (22, 23), (23, 28), (28, 29)]
    spans = [(19, 28, 1), (3, 8, 0), (13, 14, 2)]
    result = label_tokens(text, offsets, spans)
    assert result.labels.tolist() == [0, 1, 0, 3, 3, 3, 0, 0, 2, 2, 2, 0]
    assert result.unrepresentable == []
    read = decode_spans(text, offsets, np.eye(4)[result.labels], rule="token")
    assert ranges_of(read) == sorted(spans)


def test_labels_name_what_they_cannot_represent():
    text = "Ann Bob, Eve-Zoe lives in New York City"
    offsets, _ = whole_words(text)
    index = {text[start:end]: row for row, (start, end) in enumerate(offsets.tolist())}

    def span(part, type_index):
        return (text.index(part), text.index(part) + len(part), type_index)

    merged = label_tokens(text, offsets, [span("Ann", 0), span("Bob", 0), span("Eve", 0)])
    assert (merged.merged, merged.unrepresentable) == ([0, 1], [0, 1])
    assert np.flatnonzero(merged.begins).tolist() == [index["Ann"], index["Bob"], index["Eve"]]
    assert label_tokens(text, offsets, [span("Ann", 0), span("Bob", 1)]).unrepresentable == []

    colliding = label_tokens(text, offsets, [span("York", 1), span("New York", 0), span("York City", 2)])
    assert (colliding.colliding, colliding.unrepresentable) == ([0, 2], [0, 2])
    assert colliding.labels[index["New"] :].tolist() == [1, 1, 3]

    straddling = label_tokens(text, offsets, [span("live", 0), span("in", 1)])
    assert (straddling.straddling, straddling.unrepresentable) == ([0], [0])
    assert straddling.labels[index["lives"]] == 1

    uncovered = label_tokens(text, offsets[:2], [span("City", 0), (3, 4, 1), span("Bob", 2)])
    assert (uncovered.uncovered, uncovered.labels.tolist()) == ([0, 1], [0, 3])


@pytest.mark.parametrize("span", [(0, 99, 0), (3, 3, 0), (-1, 2, 0), (0, 2, -1)])
def test_labels_refuse_impossible_spans(span):
    with pytest.raises(ValueError, match=r"spans\[0\]"):
        label_tokens("Paris", [(0, 5)], [span])


def test_blank_token_that_starts_with_a_longer_one():
    offsets = [(0, 5), (5, 7), (5, 6)]
    result = label_tokens("aaaaa a", offsets, [(0, 7, 0)])
    assert not result.unrepresentable
    assert ranges_of(decode_spans("aaaaa a", offsets, np.eye(2)[result.labels], rule="token")) == [(0, 7, 0)]


@settings(deadline=None, max_examples=300)
@given(tokenised(), st.data())
def test_labels_read_back_as_the_spans(sample, data):
    text, offsets = sample
    assume(text)
    spans = []
    for _ in range(data.draw(st.integers(0, 5))):
        start = data.draw(st.sampled_from([0, *offsets[:, 0].tolist()]))
        end = data.draw(st.sampled_from([len(text), *offsets[:, 1].tolist()]))
        if start < end and (start, end) == trim_blanks(text, start, end):
            spans.append((start, end, data.draw(st.integers(0, 1))))
    result = label_tokens(text, offsets, spans)
    tags = tag_types(text, offsets, spans, 2)
    first = min(range(len(spans)), key=lambda i: (spans[i][0], -spans[i][1]), default=None)
    if first is not None and first not in result.uncovered:
        assert result.begins.any() and (tags[:, spans[first][2]] == 2).any()
    assert (result.begins <= (result.labels > 0)).all()
    for type_index in (0, 1):
        own = [span for span in spans if span[2] == type_index]
        assert ((tags[:, type_index] > 0) == (label_tokens(text, offsets, own).labels > 0)).all()
    faulty = result.unrepresentable
    assert len(faulty) == len(set(faulty))
    read = ranges_of(decode_spans(text, offsets, np.eye(3)[result.labels], rule="token"))
    for index, span in enumerate(spans):
        if index not in faulty:
            assert span in read
    if not faulty:
        assert sorted(spans) == read
