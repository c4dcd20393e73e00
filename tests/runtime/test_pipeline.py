"""The pipeline: against a naive reading of one text at a time, and on every form of input, good and bad."""

import random
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count, islice

import numpy as np
import pandas
import pytest
import torch
from comparing import assert_same_entities, scores, without_scores
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from jpt_ner import pipeline_jpt
from jpt_ner.heads_jpt import sigmoid_output
from jpt_ner.inputs_jpt import OUTSIDE_DEFINITION, PromptStyle, build_prompt, encode_texts, split_windows
from jpt_ner.pipeline_jpt import JPTPipeline
from jpt_ner.schema_jpt import resolve_schema
from jpt_ner.spans_jpt import decode_nested_spans, decode_spans, nest_spans
from tiny import tiny_tokenizer
from torch.utils.data import Dataset as TorchDataset
from transformers.pipelines.pt_utils import KeyDataset

TYPES = {"artist": "Who sings", "city": "Big town", "dish": "Food or drink"}
OTHER_TYPES = {"month": "A month of the year.", "verb": "A word for what is done."}
TEXTS = [
    "Angela Merkel visited Paris in May, said Bob Dylan.",
    "A",
    "Paris released a new album. Paris is a town, too, and not the album; whoever has read both would know.",
    "in May",
    "The singer ate soup.",
]


def naive(pipe, text, types, *, nested=False, rule="word", thresholds=None, top_k=0):
    """
    What the pipeline should say of one text, read as one row with its whole prompt, without windows, by a model
    whose attention is that of transformers.
    """
    model, tokenizer = pipe.model, pipe.tokenizer
    schema = resolve_schema(types)
    prompt = build_prompt(tokenizer, schema.names, schema.descriptions, PromptStyle.of(model.config))
    encoded = encode_texts(tokenizer, [text])[0]
    ids = encoded.input_ids.tolist()
    row = prompt.input_ids + ids + model.config.separator_ids + ids
    pairs = zip(schema.names, schema.descriptions, strict=True)
    definitions = pipe._definition_encoder.encode([OUTSIDE_DEFINITION, *(f"{name}: {text}" for name, text in pairs)])
    if model.config.embedded_types == "both":
        for vector, name in zip(definitions[1:], schema.names, strict=True):
            named = pipe._definition_encoder.encode([name])[0]
            length = (np.linalg.norm(vector) + np.linalg.norm(named)) / 2
            vector[:] = (vector + named) / np.linalg.norm(vector + named) * length
    with torch.no_grad():
        states = model.model(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state[0]
        softmax, sigmoid, _ = model.head(states[-len(ids) :], torch.tensor(definitions), states[prompt.type_positions])
    softmax, sigmoid = softmax.softmax(-1).numpy(), sigmoid.sigmoid().numpy()
    mean = (softmax + np.column_stack([1 - sigmoid.max(-1), sigmoid])) / 2
    bias = {"transition_penalty": model.config.switch_cost, "outside_bias": model.config.outside_bias}
    spans = decode_spans(text, encoded.offsets, mean, rule=rule, top_k=top_k, **bias)
    if nested:
        sure = sigmoid_output(0.85, 2.5, 5.0)
        others = decode_nested_spans(text, encoded.offsets, sigmoid, thresholds=sure, top_k=top_k)
        spans = nest_spans(encoded.offsets, sigmoid, spans, others, sure)
    spans = [span for span in spans if span.score >= (thresholds or 0)]
    found = []
    for span in spans:
        entity = {
            "entity_group": schema.names[span.type_index],
            "score": span.score,
            "word": text[span.start : span.end],
        }
        found.append({**entity, "start": span.start, "end": span.end})
        if top_k:
            names = [{"entity_group": schema.names[i], "score": score} for i, score in span.alternatives]
            found[-1]["alternatives"] = names
    return found


@pytest.fixture(scope="module")
def reference(make_pipeline):
    """The same weights, with the attention of transformers."""
    return make_pipeline(attention="sdpa", type_embedding="both")


@pytest.fixture(scope="module")
def finder(make_pipeline):
    """
    Knows one thing, and needs no context for it: words of Qs are artists, words of Zs are cities. So it is known what
    should be found in any text, and that windows should change nothing.
    """

    def make(options=None, **values):
        pipe = make_pipeline(
            {"entity_types": {"artist": "A", "city": "B"}, **(options or {})}, outside_bias=1.0, **values
        )
        model = pipe.model
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "o_proj" in name or "down_proj" in name or "lora_B" in name or "classifier.bias" in name:
                    parameter.zero_()
                if "classifier.weight" in name:
                    parameter.mul_(20)
            model.model.embed_tokens.weight.zero_()
            definitions = torch.tensor(pipe._definition_encoder.encode([OUTSIDE_DEFINITION, "artist: A", "city: B"]))
            states = torch.randn(
                4000, model.config.text_config.hidden_size, generator=torch.Generator().manual_seed(0)
            )
            states /= states.square().mean(-1, keepdim=True).sqrt()
            softmax, sigmoid, _ = model.head(states, definitions, states[:2])
            sure = softmax.softmax(-1)[:, 1:] + sigmoid.sigmoid() - sigmoid.sigmoid().flip(-1)
            for letter, best in zip("QZ", sure.argmax(0), strict=True):
                model.model.embed_tokens.weight[pipe.tokenizer.convert_tokens_to_ids(letter)] = states[best]
        return pipe

    return make


def to_find(text):
    """The finder's entities."""
    return [
        {
            "entity_group": "artist" if "Q" in match[0] else "city",
            "word": match[0],
            "start": match.start(),
            "end": match.end(),
        }
        for match in re.finditer(r"Q+(?: Q+)*|Z+(?: Z+)*", text)
    ]


# ---- what it computes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_embedding", ["definition", "prompt", "both"])
@pytest.mark.parametrize("attention", ["jpt_packed", "sdpa", "eager"])
def test_equals_naive_reference(make_pipeline, attention, type_embedding):
    pipe = make_pipeline(attention=attention, type_embedding=type_embedding)
    reference = make_pipeline(attention="sdpa", type_embedding=type_embedding)
    expected = [naive(reference, text, TYPES) for text in TEXTS]
    assert sum(map(len, expected)) >= 5
    assert_same_entities(pipe(TEXTS, entity_types=TYPES), expected)
    assert_same_entities(pipe(TEXTS[0], entity_types=TYPES), expected[0])


@pytest.mark.parametrize(
    "values",
    [
        {"share_projections": False},
        {"prompt_template": "paper", "max_length": 4096},
        {"lora_rank": 0},
        {"embedded_types": "both"},
    ],
)
def test_equals_naive_reference_in_other_configurations(make_pipeline, values):
    pipe, reference = make_pipeline(**values), make_pipeline(attention="sdpa", **values)
    assert_same_entities(pipe(TEXTS, entity_types=TYPES), [naive(reference, text, TYPES) for text in TEXTS])


def test_options_equal_naive_reference(pipe, reference):
    for options, same in [
        ({"nested": True}, {"nested": True}),
        ({"nested": True, "threshold": 0.7}, {"nested": True, "thresholds": 0.7}),
        ({"threshold": 0.6}, {"thresholds": 0.6}),
        ({"decoder": "token"}, {"rule": "token"}),
        ({"top_k": 2}, {"top_k": 2}),
        ({"top_k": 9, "nested": True}, {"top_k": 9, "nested": True}),
    ]:
        expected = [naive(reference, text, TYPES, **same) for text in TEXTS]
        assert any(expected)
        assert_same_entities(pipe(TEXTS, entity_types=TYPES, **options), expected)


@pytest.mark.parametrize("attention", ["jpt_packed", "sdpa"])
def test_scores_do_not_depend_on_the_batch(make_pipeline, attention):
    pipe = make_pipeline(attention=attention)
    rng = random.Random(0)
    words = " ".join(TEXTS).split()
    texts = [" ".join(rng.choices(words, k=rng.choice([1, 3, 20, 80]))) for _ in range(25)]
    alone = [pipe(text, entity_types=TYPES) for text in texts]
    for batch_size in (1, 3, 64):
        assert_same_entities(pipe(texts, entity_types=TYPES, batch_size=batch_size), alone)
    order = rng.sample(range(len(texts)), len(texts))
    assert_same_entities(pipe([texts[i] for i in order], entity_types=TYPES), [alone[i] for i in order])


def test_budget_of_tokens_changes_nothing_but_the_batches(pipe, monkeypatch):
    texts = TEXTS * 3
    expected = pipe(texts, entity_types=TYPES)
    sizes = []
    hook = pipe.model.register_forward_pre_hook(
        lambda model, args, kwargs: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        monkeypatch.setattr(pipeline_jpt, "TOKENS_PER_FORWARD", 100)
        assert_same_entities(pipe(texts, entity_types=TYPES), expected)
        single = max(len(encode_texts(pipe.tokenizer, [text])[0].input_ids) for text in texts)
        assert len(sizes) > 3 and all(size <= max(50, single) for size in sizes)
    finally:
        hook.remove()


def test_items_with_types_of_their_own(pipe):
    assert pipe({"text": TEXTS[0], "entity_types": TYPES}) == pipe(TEXTS[0], entity_types=TYPES)
    items = []
    for i, text in enumerate(TEXTS * 4):
        own = [None, TYPES, OTHER_TYPES, ["singer"], [{"name": "town", "definition": "A town."}]][i % 5]
        items.append(text if own is None else {"text": text, "entity_types": own})
    expected = [
        pipe(item, entity_types=TYPES)
        if isinstance(item, str)
        else pipe(item["text"], entity_types=item["entity_types"])
        for item in items
    ]
    assert_same_entities(pipe(items, entity_types=TYPES), expected)
    assert_same_entities(pipe(items, entity_types=TYPES, batch_size=2), expected)
    assert len({each["entity_group"] for each in sum(expected, [])}) >= 5


@pytest.mark.parametrize("attention", ["jpt_packed", "sdpa"])
def test_forgotten_prompts_are_read_again(make_pipeline, monkeypatch, attention):
    pipe = make_pipeline(attention=attention)
    items = [{"text": text, "entity_types": [f"type {i}", "city"]} for i, text in enumerate(TEXTS * 2)]
    expected = pipe(items)
    assert len(pipe._read_prompts) == len(items)
    pipe.clear_cache()
    pipe(items[:1])
    monkeypatch.setattr(
        pipeline_jpt, "PROMPT_BYTES", int(2.5 * pipeline_jpt.total_memory(pipe._read_prompts.values()))
    )
    assert_same_entities(pipe(items), expected)
    assert len(pipe._read_prompts) == 2


def test_weights_that_changed_count_after_clear_cache(make_pipeline):
    pipe = make_pipeline()
    before = pipe(TEXTS[0], entity_types=TYPES)
    with torch.no_grad():
        pipe.model.model.layers[0].mlp.down_proj.weight.mul_(3)
    pipe.clear_cache()
    after = pipe(TEXTS[0], entity_types=TYPES)
    assert after != before
    assert after == pipe.model.as_pipeline(pipe.tokenizer, definition_encoder=pipe._definition_encoder)(
        TEXTS[0], entity_types=TYPES
    )


def test_attention_may_be_changed(make_pipeline):
    pipe = make_pipeline(attention="sdpa")
    expected = pipe(TEXTS, entity_types=TYPES)
    for attention in ("jpt_packed", "eager", "sdpa"):
        pipe.model.model.set_attn_implementation(attention)
        assert_same_entities(pipe(TEXTS, entity_types=TYPES), expected)


# ---- long texts -----------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_windows_keep_every_token_once(data):
    words = data.draw(st.lists(st.text("ab.\n。", min_size=1, max_size=4), max_size=60))
    text = "".join(word + data.draw(st.sampled_from(["", " ", "  ", "\n"])) for word in words)
    offsets, start = [], 0
    while start < len(text):
        end = min(len(text), start + data.draw(st.integers(1, 3)))
        offsets += [(start, end)] * data.draw(st.integers(1, 2))
        start = end
    length = data.draw(st.integers(1, 30))
    overlap = data.draw(st.integers(0, length // 2))
    windows = split_windows(text, np.array(offsets).reshape(-1, 2), length, overlap)
    kept = [token for window in windows for token in range(window.keep_start, window.keep_end)]
    assert kept == list(range(len(offsets)))
    for window in windows:
        assert window.start <= window.keep_start <= window.keep_end <= window.end <= window.start + length


def test_windows_are_read_alone_and_stitched(make_pipeline):
    pipe = make_pipeline(window_length=24, window_overlap=8)
    reference = make_pipeline(attention="sdpa")
    text = " ".join(TEXTS)
    encoded = encode_texts(pipe.tokenizer, [text])[0]
    windows = split_windows(text, encoded.offsets, 24, 8)
    assert len(windows) > 5
    schema = resolve_schema(TYPES)
    prompt = build_prompt(pipe.tokenizer, schema.names, schema.descriptions, PromptStyle("compact"))
    pairs = zip(schema.names, schema.descriptions, strict=True)
    definitions = pipe._definition_encoder.encode([OUTSIDE_DEFINITION, *(f"{name}: {text}" for name, text in pairs)])
    stitched = []
    with torch.no_grad():
        for window in windows:
            output = reference.model(
                input_ids=torch.tensor(encoded.input_ids[window.start : window.end])[None],
                prompt_input_ids=torch.tensor([prompt.input_ids]),
                type_positions=torch.tensor([prompt.type_positions]),
                definition_embeddings=torch.tensor(definitions)[None],
            )
            kept = slice(window.keep_start - window.start, window.keep_end - window.start)
            stitched.append(output.probabilities()[0, kept].numpy())
    expected = decode_spans(text, encoded.offsets, np.concatenate(stitched), transition_penalty=0.5, outside_bias=0.3)
    found = pipe(text, entity_types=TYPES)
    assert [(each["start"], each["end"], TYPES_INDEX[each["entity_group"]]) for each in found] == [
        (span.start, span.end, span.type_index) for span in expected
    ]
    assert scores(found) == pytest.approx([span.score for span in expected], abs=1e-4)


TYPES_INDEX = {name: i for i, name in enumerate(TYPES)}


def words_with_entities(rng, number):
    words = rng.choices(["the", "new", "album.", "in", "May,", "QQ", "QQQQQQQQ", "ZZ ZZZ ZZ", "Q Q"], k=number)
    return rng.choice(["", " "]) + " ".join(words)


@pytest.mark.parametrize("window_length, window_overlap", [(8, 0), (8, 4), (16, 6), (33, 16), (100, 0)])
def test_entities_on_seams_are_found_once(finder, window_length, window_overlap):
    pipe = finder(window_length=window_length, window_overlap=window_overlap)
    rng = random.Random(1)
    texts = [words_with_entities(rng, number) for number in (1, 10, 40, 100, 200)]
    assert without_scores(pipe(texts)) == [to_find(text) for text in texts]


def test_many_pages(finder):
    pipe = finder()
    rng = random.Random(2)
    page = "Angela Merkel visited Paris in May, said Bob Dylan. Paris released a new album. " * 22
    assert len(page) > 1700
    text = "\n\n".join(
        page[: (at := rng.randrange(len(page)))] + rng.choice([" QQQ QQ ", " ZZZZ "]) + page[at:] for _ in range(40)
    )
    found = pipe(text)
    assert len(found) == 40
    assert without_scores(found) == to_find(text)


def test_windows_shrink_where_definitions_leave_little_room(finder):
    pipe = finder(prompt_template="compact")
    text = words_with_entities(random.Random(3), 300)
    plan = pipe._plan(("artist", "city"), ("A", "B"))
    pipe.model.config.max_length = len(plan.prompt.input_ids) + 3 + 2 * 40
    pipe._plan.cache_clear()
    shrunk = pipe._plan(("artist", "city"), ("A", "B"))
    assert (shrunk.window, shrunk.overlap) == (40, 5)
    assert without_scores(pipe(text)) == to_find(text)


def test_definitions_that_leave_no_room_are_named(make_pipeline):
    pipe = make_pipeline(max_length=400)
    types = {"short": "A word.", "long": "very " * 60, "longer": "very " * 70}
    with pytest.raises(ValueError, match="longer") as error:
        pipe("in May", entity_types=types)
    message = str(error.value)
    tokens = len(encode_texts(pipe.tokenizer, [" ".join(types["longer"].split())])[0].input_ids)
    prompt = build_prompt(pipe.tokenizer, list(types), list(types.values()), PromptStyle("compact"))
    over = len(prompt.input_ids) + 3 + 2 * 32 - 400
    assert f"{over} over the limit of 400" in message
    assert f"'longer' ({tokens} tokens), 'long' " in message
    with pytest.raises(ValueError, match="over the limit"):
        pipe(["in May", {"text": "in May", "entity_types": types}], entity_types=TYPES)
    assert pipe(["in May"], entity_types=TYPES) is not None


# ---- forms of input -------------------------------------------------------------------------------------------------


class MapStyle(TorchDataset):
    """A dataset that says its length and fails, other than with an IndexError, beyond it."""

    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, index):
        return dict(enumerate(TEXTS))[index]


def test_forms_of_input(pipe):
    expected = pipe(TEXTS, entity_types=TYPES)
    assert isinstance(expected, list) and all(isinstance(found, list) for found in expected)
    assert isinstance(pipe(TEXTS[0], entity_types=TYPES)[0]["score"], float)
    assert pipe(tuple(TEXTS), entity_types=TYPES) == expected
    rows = [{"text": text} for text in TEXTS]
    assert pipe(rows, entity_types=TYPES) == expected
    table = Dataset.from_dict({"text": TEXTS, "id": list(range(5))})
    for lazy in [
        iter(TEXTS),
        (text for text in TEXTS),
        table["text"],
        KeyDataset(table, "text"),
        MapStyle(),
        pandas.Series(TEXTS, index=list("vwxyz")),
        np.array(TEXTS),
        dict.fromkeys(TEXTS).keys(),
    ]:
        results = pipe(lazy, entity_types=TYPES)
        assert iter(results) is results
        assert list(results) == expected


def test_read_all_reads_what_calls_read(make_pipeline):
    pipe = make_pipeline(window_length=24, window_overlap=8)
    items = [TEXTS[0], "", {"text": " ".join(TEXTS), "entity_types": TYPES}, {"text": TEXTS[1], "entity_types": ["x"]}]
    options = {"entity_types": {"city": "Big town"}, "batch_size": 2}
    readings = list(pipe.read_all(items, **options))
    for extra in ({}, {"nested": True, "top_k": 2}, {"threshold": 0.4}):
        assert_same_entities([pipe.decode(each, **extra) for each in readings], pipe(items, **options, **extra))
    assert list(pipe.read_all([], **options)) == []
    words = next(pipe.read_all([TEXTS[0].split()], is_split_into_words=True, **options))
    assert words.words[0] == (0, len(TEXTS[0].split()[0]), 0)
    with pytest.raises(ValueError, match=r"`inputs\[0\]` must be a text"):
        list(pipe.read_all([5], **options))
    with pytest.raises(ValueError, match="`batch_size` must be a whole number"):
        list(pipe.read_all(items, batch_size=0))


def test_nothing_to_read(pipe):
    for nothing in ([], (), iter([]), pandas.Series([])):
        assert list(pipe(nothing, entity_types=TYPES)) == []
    assert pipe([]) == []
    for blank in ["", " ", "\n\t \r\n", "\u00a0\u3000"]:
        assert pipe(blank, entity_types=TYPES) == []
        assert pipe([blank], entity_types=TYPES) == [[]]
        assert pipe({"text": blank}, entity_types=TYPES, nested=True, top_k=3) == []
    found = pipe([TEXTS[0], "", TEXTS[2], " "], entity_types=TYPES)
    assert_same_entities(found, [pipe(TEXTS[0], entity_types=TYPES), [], pipe(TEXTS[2], entity_types=TYPES), []])


def test_streams_read_ahead_within_bounds(pipe, monkeypatch):
    taken = []

    def endless():
        for i in count():
            taken.append(i)
            yield f"Paris {i}"

    results = pipe(endless(), entity_types=TYPES, batch_size=2)
    assert taken == []
    first = list(islice(results, 3))
    assert len(taken) <= 2 * pipeline_jpt.BATCHES_AHEAD + 1
    assert_same_entities(first, pipe([f"Paris {i}" for i in range(3)], entity_types=TYPES))
    assert len(list(islice(results, 40))) == 40
    assert len(taken) <= 43 + 2 * pipeline_jpt.BATCHES_AHEAD + 1

    taken.clear()
    monkeypatch.setattr(pipeline_jpt, "CHARACTERS_AHEAD", 20)
    next(pipe(endless(), entity_types=TYPES, batch_size=2))
    assert len(taken) <= 4


def test_options_are_checked_before_a_stream_is_read(pipe):
    with pytest.raises(ValueError, match="threshold"):
        pipe(iter(TEXTS), entity_types=TYPES, threshold=2)
    with pytest.raises(ValueError, match="no-such-preset"):
        pipe(iter(TEXTS), entity_types="no-such-preset")


def test_progress_bar(pipe, capsys):
    pipe(TEXTS, entity_types=TYPES)
    assert capsys.readouterr().err == ""
    pipe([*TEXTS, ""], entity_types=TYPES, show_progress=True)
    assert "6/6" in capsys.readouterr().err


def test_given_words(finder):
    pipe = finder()
    words = ["the", "QQ", " QQ ", "", "new", "\u200b", "ZZ", "in"]
    found = pipe(words, is_split_into_words=True)
    text = " ".join(words)
    assert without_scores(found) == [
        {"entity_group": "artist", "word": "QQ  QQ", "start": 4, "end": 10, "first_word": 1, "last_word": 2},
        {
            "entity_group": "city",
            "word": "ZZ",
            "start": text.index("ZZ"),
            "end": text.index("ZZ") + 2,
            "first_word": 6,
            "last_word": 6,
        },
    ]
    assert pipe([words, ["in"], []], is_split_into_words=True) == [found, [], []]
    assert pipe([{"text": words}], is_split_into_words=True) == [found]
    assert list(pipe(iter([tuple(words)]), is_split_into_words=True)) == [found]
    assert pipe([], is_split_into_words=True) == []
    glued = pipe(["in", "QQ", "ZZ"], is_split_into_words=True, delimiter="")
    assert [(each["word"], each["start"], each["first_word"]) for each in glued] == [("QQ", 2, 1), ("ZZ", 4, 2)]
    # Whole words only, where the text alone would be split at the hyphen.
    assert [each["word"] for each in pipe(["QQQQQ-a"], is_split_into_words=True)] == ["QQQQQ-a"]
    assert [each["word"] for each in pipe("QQQQQ-a")] == ["QQQQQ"]


# ---- types and options ----------------------------------------------------------------------------------------------


def test_where_types_come_from(make_pipeline, tmp_path):
    text = TEXTS[0]
    configured = make_pipeline(entity_types=OTHER_TYPES)
    expected = configured(text, entity_types=TYPES)
    assert {each["entity_group"] for each in configured(text)} <= {*OTHER_TYPES}
    assert_same_entities(configured(text), configured(text, entity_types=OTHER_TYPES))
    assert_same_entities(make_pipeline({"entity_types": TYPES}, entity_types=OTHER_TYPES)(text), expected)
    file = tmp_path / "types.yaml"
    file.write_text("entity_types:\n" + "".join(f"- {{name: {k}, definition: '{v}'}}\n" for k, v in TYPES.items()))
    for same in (str(file), file, resolve_schema(TYPES), [{"name": k, "definition": v} for k, v in TYPES.items()]):
        assert_same_entities(configured(text, entity_types=same), expected)
    assert configured(text, entity_types="music") is not None

    with pytest.raises(ValueError, match="`entity_types` must be given"):
        make_pipeline()(text)
    with pytest.raises(ValueError, match="unknown preset 'jazz'"):
        make_pipeline({"entity_types": "jazz"})
    with pytest.raises(ValueError, match="empty definition"):
        configured(text, entity_types={"artist": ""})
    with pytest.raises(ValueError, match=r"inputs\[1\].*repeats"):
        configured([text, {"text": text, "entity_types": ["a", "A"]}])


def test_own_threshold_of_a_type_goes_first(pipe):
    every = pipe(TEXTS, entity_types=TYPES)
    strict = pipe(TEXTS, entity_types=TYPES, threshold=0.7)
    types = {**TYPES, "artist": {"definition": TYPES["artist"], "threshold": 0.0}}
    kept = [[x for x in found if x["score"] >= 0.7 or x["entity_group"] == "artist"] for found in every]
    assert kept not in (every, strict)
    assert_same_entities(pipe(TEXTS, entity_types=types, threshold=0.7), kept)


def test_options_of_the_pipeline_and_of_the_call(make_pipeline):
    pipe = make_pipeline({"entity_types": TYPES, "threshold": 0.7, "top_k": 1, "batch_size": 2})
    strict = pipe(TEXTS)
    assert all(each["score"] >= 0.7 and len(each["alternatives"]) == 1 for found in strict for each in found)
    loose = pipe(TEXTS, threshold=0.0, top_k=0)
    assert sum(map(len, loose)) > sum(map(len, strict))
    assert pipe(TEXTS) == strict
    for strategy in ("simple", "first", "average", "max"):
        assert pipe(TEXTS, aggregation_strategy=strategy) == strict


@pytest.mark.parametrize(
    "options, named",
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "high"}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"top_k": -1}, "top_k"),
        ({"decoder": "paper"}, "decoder"),
        ({"decoder": "token", "nested": True}, "nested"),
        ({"batch_size": 0}, "batch_size"),
        ({"aggregation_strategy": "none"}, "aggregation_strategy"),
        ({"delimiter": 3}, "delimiter"),
    ],
)
def test_wrong_options(pipe, options, named):
    with pytest.raises(ValueError, match=f"`{named}"):
        pipe(TEXTS[0], entity_types=TYPES, **options)


def test_unknown_options(pipe, make_pipeline):
    with pytest.raises(TypeError, match="treshold"):
        pipe(TEXTS[0], entity_types=TYPES, treshold=0.5)
    with pytest.raises(TypeError, match="labels"):
        make_pipeline({"labels": ["city"]})


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [None, 5, 2.5, b"Paris", object()])
def test_inputs_that_are_no_texts(pipe, inputs):
    with pytest.raises(ValueError, match="`inputs` must be a text"):
        pipe(inputs, entity_types=TYPES)


@pytest.mark.parametrize("item", [None, float("nan"), 5, b"Paris", ["Paris"], {"text": None}, {"text": ["Paris"]}])
def test_items_that_are_no_texts(pipe, item):
    with pytest.raises(ValueError, match=r"`inputs\[2\]` must be a text"):
        pipe([TEXTS[0], "", item], entity_types=TYPES)
    with pytest.raises(ValueError, match=r"`inputs\[2\]` must be a text"):
        list(pipe(iter([TEXTS[0], "", item]), entity_types=TYPES))


@pytest.mark.parametrize("item", ["Paris", None, ["Paris", 3], [["Paris"]], {"text": "Paris"}])
def test_items_that_are_no_words(pipe, item):
    with pytest.raises(ValueError, match=r"`inputs\[1\]` must be a list of words"):
        pipe([["in", "May"], item], entity_types=TYPES, is_split_into_words=True)


def test_dicts_with_other_keys(pipe):
    with pytest.raises(ValueError, match=r"`inputs\[0\]`: unknown key 'labels'"):
        pipe({"text": "Paris", "labels": TYPES})
    with pytest.raises(ValueError, match=r"`inputs\[1\]`: no key 'text'"):
        pipe(["Paris", {"entity_types": TYPES}], entity_types=TYPES)


STRANGE = [
    "\0QQ\0 \0ZZ",
    "\U0001f1eb\U0001f1f7 QQ \U0001f468\u200d\U0001f469\u200d\U0001f467 ZZ \U0001f44d\U0001f3fd",
    "e\u0301te\u0301 QQ a\u030a\u0301 ZZ",
    "\u05e9\u05dc\u05d5\u05dd QQ \u0645\u0631\u062d\u0628\u0627 \u202eZZ\u202c",
    "one\r\nQQ\r\n\r\nZZ\r\n",
    "\ud83d QQ \udc00 ZZ \ud800",
    "<|im_end|>\n<|im_start|>user QQ <|endoftext|> ZZ <|im_end|>",
    "' The second time: 'QQ' The first time: 'ZZ",
    "\u6771\u4eac QQ \u0e01\u0e23\u0e38\u0e07 ZZ",
    "\ufeffQQ\u00a0ZZ\u2028",
    "<QQ, artist> {{ZZ}} {% raw %}",
    "QQ" + " " * 500 + "ZZ",
]


@pytest.mark.parametrize("text", STRANGE, ids=range(len(STRANGE)))
def test_strange_texts(finder, pipe, text):
    strange = finder()
    assert without_scores(strange(text)) == to_find(text)
    assert without_scores(strange([text, "QQ", text])) == [to_find(text), to_find("QQ"), to_find(text)]
    for nested in (False, True):
        for each in pipe(text, entity_types=TYPES, nested=nested):
            assert each["word"] == text[each["start"] : each["end"]] == each["word"].strip() != ""


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.text(), st.sampled_from(["<|im_end|>", "<|im_start|>", "<|endoftext|>", "\ud800"]))))
def test_texts_are_only_text_to_the_tokenizer(pieces):
    tokenizer = tiny_tokenizer()
    text = "".join(pieces)
    encoded = encode_texts(tokenizer, [text])[0]
    assert not set(encoded.input_ids.tolist()) & set(tokenizer.all_special_ids)
    covered = {i for start, end in encoded.offsets.tolist() for i in range(start, end)}
    assert covered == set(range(len(text)))


def test_special_tokens_in_types_are_only_text(pipe):
    types = {"<|im_end|>": "<|im_start|>assistant <|endoftext|>"}
    prompt = pipe._make_plan(tuple(types), tuple(types.values())).prompt
    plain = pipe._make_plan(("a",), ("b",)).prompt
    special = set(pipe.tokenizer.all_special_ids)
    assert [i for i in prompt.input_ids if i in special] == [i for i in plain.input_ids if i in special]
    assert {each["entity_group"] for each in pipe(TEXTS[0], entity_types=types)} == {"<|im_end|>"}


def test_nan_never_becomes_a_score(make_pipeline):
    pipe = make_pipeline()
    with torch.no_grad():
        pipe.model.model.norm.weight[0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        pipe(TEXTS[0], entity_types=TYPES)
    with pytest.raises(ValueError, match="NaN"):
        pipe(TEXTS[0], entity_types=TYPES, nested=True)


def test_other_definition_encoders_are_refused(make_pipeline):
    with pytest.raises(ValueError, match="'fake'.*trained with 'real'"):
        make_pipeline(definition_encoder="real")(TEXTS[0], entity_types=TYPES)
    with pytest.raises(ValueError, match="size 6.*size 7"):
        make_pipeline(definition_encoder_size=7)(TEXTS[0], entity_types=TYPES)


def test_encoder_is_built_from_the_configuration(make_model):
    model = make_model(definition_encoder="backbone", definition_encoder_size=32)
    pipe = model.as_pipeline(tiny_tokenizer())
    before = pipe(TEXTS, entity_types=TYPES)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(3)
    pipe.clear_cache()
    after = pipe(TEXTS, entity_types=TYPES)
    assert after != before
    assert_same_entities(model.as_pipeline(tiny_tokenizer())(TEXTS, entity_types=TYPES), after)


def test_tokenizer_is_needed(make_model):
    with pytest.raises(ValueError, match="`tokenizer`"):
        JPTPipeline(model=make_model())


# ---- threads --------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_switches():
    """Lets threads take turns as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(*functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


def test_threads_share_a_pipeline(make_pipeline, quick_switches):
    pipe = make_pipeline()
    jobs = [(TEXTS, TYPES), (TEXTS[::-1], OTHER_TYPES), (TEXTS[1:], ["city"]), (TEXTS[:2], TYPES)]
    expected = [pipe(texts, entity_types=types) for texts, types in jobs]
    pipe.clear_cache()
    pipe._plan.cache_clear()

    def work(texts, types):
        return [list(pipe(iter(texts), entity_types=types, batch_size=2)) for _ in range(4)]

    for each, right in zip(in_threads(*(partial(work, *job) for job in jobs)), expected, strict=True):
        assert_same_entities(each, [right] * 4)


def test_threads_do_not_share_settings_of_the_tokenizer(pipe, quick_switches):
    """Chat templates are written with special tokens, texts are read without, by one and the same tokenizer."""
    special = set(pipe.tokenizer.all_special_ids)
    schema = resolve_schema(TYPES)

    def read_texts():
        for _ in range(400):
            document = pipe.preprocess("<|im_end|> Paris " * 200, schema)
            pipe._tokenize([document])
            assert not special & set(document.input_ids.tolist())

    def write_prompts():
        for i in range(800):
            document = pipe.preprocess("A", resolve_schema([f"kind {i}"]))
            pipe._tokenize([document])
            assert special & set(document.plan.prompt.input_ids)

    in_threads(read_texts, write_prompts)


# ---- readings -------------------------------------------------------------------------------------------------------


def test_readings_are_those_of_the_model(make_pipeline):
    """Each by its own backbone pass; "auto" is the open one where it is sure and the other where it is not."""
    pipe = make_pipeline(readings=["twice", "open"], begin_head=True, window_length=24, window_overlap=6)
    texts = [*TEXTS, " ".join(TEXTS) * 3]
    calls = {reading: pipe(texts, entity_types=TYPES, reading=reading) for reading in ("twice", "open")}
    assert_same_entities(pipe(texts, entity_types=TYPES), calls["twice"])
    assert without_scores(calls["open"]) != without_scores(calls["twice"])
    for reading, found in calls.items():
        model_says = pipe.read(TEXTS[0], TYPES, reading=reading)
        assert_same_entities(pipe.decode(model_says), found[0])
        assert model_says.begin.shape == model_says.sigmoid.shape

    config = pipe.model.config
    for confidence, expected in ((0.0, calls["open"]), (1.01, calls["twice"])):
        config.auto_confidence = confidence
        assert_same_entities(pipe(texts, entity_types=TYPES, reading="auto"), expected)
    # Window by window; these texts are one each.
    pipe = make_pipeline(readings=["twice", "open"], begin_head=True)
    calls = {reading: pipe(TEXTS, entity_types=TYPES, reading=reading) for reading in ("twice", "open")}
    config = pipe.model.config
    sure = [float(pipe.read(text, TYPES, reading="open").probabilities.max(-1).min()) for text in TEXTS]
    config.auto_confidence = sorted(sure)[1]
    found = pipe(TEXTS, entity_types=TYPES, reading="auto")
    mixed = [calls["open" if each >= config.auto_confidence else "twice"][i] for i, each in enumerate(sure)]
    assert_same_entities(found, mixed)
    assert len({each >= config.auto_confidence for each in sure}) == 2


def test_a_reading_the_model_cannot_do_is_refused(pipe, make_pipeline):
    with pytest.raises(ValueError, match="`reading` must be 'twice' for this model, got 'auto'"):
        pipe(TEXTS[0], entity_types=TYPES, reading="auto")
    both = make_pipeline(readings=["open", "twice"])
    with pytest.raises(ValueError, match="`reading` must be 'open' or 'twice' or 'auto' for this model, got 'once'"):
        both.read(TEXTS[0], TYPES, reading="once")
