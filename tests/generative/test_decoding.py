"""Decoding of sequences with a common prefix: the same tokens and probabilities as one by one, whatever the path."""

from types import SimpleNamespace

import pytest
import torch
from jpt_ner.generative.configuration_generative import GenerativeConfig
from jpt_ner.generative.decoding import Decoder, PaddedCache, SharedCache, can_share
from jpt_ner.generative.extractors import Extraction, Query, build_extractor, deduplicate, resolve_mentions
from jpt_ner.generative.formats import GENERATIVE_SYSTEMS, Mention
from tiny import FAMILIES, tiny_causal_lm, tiny_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

TEXT = list(range(20, 50))
PROMPTS = [TEXT + [60, 61], TEXT + [60, 62, 63, 64], TEXT + [60, 61], TEXT, [70, 71], TEXT + [60]]
LIMITS = [9, 3, 5, 12, 7, 1]


def one_by_one(model, prompt, limit, end_ids, stop_ids=()):
    """The slow reference: the whole sequence through the model for every token, without a cache."""
    ids, probabilities, ended = list(prompt), [], False
    while len(ids) - len(prompt) < limit and not ended:
        with torch.no_grad():
            row = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float().softmax(-1)
        token = int(row.argmax())
        if token in end_ids:
            return ids[len(prompt) :], probabilities, True
        ids.append(token)
        probabilities.append(float(row[token]))
        ended = token in stop_ids
    return ids[len(prompt) :], probabilities, ended


def assert_same(found, expected):
    assert [(each.ids, each.ended) for each in found] == [(ids, ended) for ids, _, ended in expected]
    for each, (_, probabilities, _) in zip(found, expected, strict=True):
        assert each.probabilities == pytest.approx(probabilities, abs=1e-4)


@pytest.fixture(scope="module")
def model():
    return tiny_causal_lm()


@pytest.fixture(scope="module")
def ends(model):
    """Tokens that this model likes, so that sequences end at different times."""
    free = [one_by_one(model, prompt, 12, ())[0] for prompt in PROMPTS]
    return {free[0][4], free[4][2]}, {free[3][6]}


@pytest.mark.parametrize("early_quit", [True, False])
@pytest.mark.parametrize("reuse", [True, False])
def test_same_as_one_by_one(model, ends, reuse, early_quit):
    end_ids, stop_ids = ends
    expected = [
        one_by_one(model, prompt, limit, end_ids, stop_ids) for prompt, limit in zip(PROMPTS, LIMITS, strict=True)
    ]
    assert {ended for *_, ended in expected} == {True, False} and len({len(ids) for ids, *_ in expected}) > 3
    decoder = Decoder(model, end_ids, reuse, early_quit)
    cache = decoder.new_cache()
    assert type(cache) is (SharedCache if reuse else PaddedCache)
    assert_same(decoder.generate(PROMPTS, LIMITS, cache, stop_ids), expected)
    # Again with the same cache, and with prompts that continue from its contents.
    assert_same(decoder.generate(PROMPTS, LIMITS, cache, stop_ids), expected)
    further = [PROMPTS[1] + [75, 76], PROMPTS[0] + expected[0][0] + [80], TEXT + [90]]
    again = [one_by_one(model, prompt, 6, end_ids) for prompt in further]
    assert_same(decoder.generate(further, [6] * 3, cache), again)


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family):
    model = tiny_causal_lm(family, "eager" if family == "gemma2" else "sdpa")
    # Layers that see only so far need a mask of their own; they are read as rows.
    assert can_share(model) is (family in ("llama", "qwen2", "qwen3"))
    expected = [one_by_one(model, prompt, limit, {2}) for prompt, limit in zip(PROMPTS, LIMITS, strict=True)]
    assert_same(Decoder(model, {2}).generate(PROMPTS, LIMITS), expected)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "opt", "bloom", "falcon"])
def test_older_families(family):
    """Learned positions, alibi, or no positions to be given: read in whichever way gives the same."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320, "pad_token_id": 0}
    further = {"opt": {"ffn_dim": 48, "word_embed_proj_dim": 32}, "gpt_neox": {"intermediate_size": 48}}.get(
        family, {}
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes, **further)).eval()
    if family == "bloom":
        assert not can_share(model)
    expected = [one_by_one(model, prompt, limit, {2}) for prompt, limit in zip(PROMPTS, LIMITS, strict=True)]
    for options in ({}, {"reuse": False}, {"early_quit": False}):
        assert_same(Decoder(model, {2}, **options).generate(PROMPTS, LIMITS), expected)


@pytest.mark.parametrize("reuse", [True, False])
def test_sequences_that_stay_past_the_context(reuse):
    """With learned positions there are none for them; they are finished, and what they get does not matter."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 320, "n_positions": 16}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **sizes)).eval()
    forced = [[5], list(range(6, 16))]
    found = Decoder(model, {1}, reuse, early_quit=False).generate([[3] * 14, [4]], [9, 12], forced=forced)
    assert [each.ids for each in found] == forced


def test_shared_tokens_are_read_once(model):
    """Counts the tokens that go through the model."""
    read = []
    handle = model.model.embed_tokens.register_forward_hook(
        lambda module, given, output: read.append(given[0].numel())
    )
    try:
        decoder = Decoder(model, {1})
        cache = decoder.new_cache()
        decoder.generate([TEXT + [60], TEXT + [61]], [1, 1], cache)
        assert read == [len(TEXT) + 2]
        decoder.generate([TEXT + [60, 65, 66], TEXT + [60, 65, 67]], [1, 1], cache)
        assert read[1:] == [3]
        read.clear()
        Decoder(model, {1}, reuse=False).generate([TEXT + [60], TEXT + [61]], [1, 1])
        assert read == [2 * (len(TEXT) + 1)]
    finally:
        handle.remove()


@pytest.mark.parametrize("reuse", [True, False])
def test_finished_sequences_leave(model, reuse):
    read = []
    handle = model.model.embed_tokens.register_forward_hook(
        lambda module, given, output: read.append(given[0].numel())
    )
    forced = [[5], [6, 7, 8, 9], [5, 6]]
    try:
        for early_quit in (True, False):
            read.clear()
            prompts = [[10], [11], [12]]
            found = Decoder(model, {1}, reuse, early_quit).generate(prompts, [9] * 3, forced=forced)
            assert [each.ids for each in found] == forced and [each.length for each in found] == [2, 5, 3]
            assert read == [3, 3, 2, 1, 1] if early_quit else [3] * 5
    finally:
        handle.remove()


def test_forced_output_has_the_models_probabilities(model):
    free = Decoder(model, {1}).generate([PROMPTS[0]], [6])[0]
    forced = Decoder(model, {1}).generate([PROMPTS[0]], [9], forced=[free.ids])[0]
    assert forced.ids == free.ids and forced.ended
    assert forced.probabilities == pytest.approx(free.probabilities, abs=1e-4)


def test_bounds():
    decoder = Decoder(tiny_causal_lm(max_position_embeddings=16), {1})
    full = decoder.generate([[5] * 14], [9])[0]
    assert len(full.ids) == 2 and not full.ended
    for prompt in ([], [5] * 16):
        with pytest.raises(ValueError, match=r"`prompts\[0\]` must have from 1 to 15 tokens"):
            decoder.generate([prompt], [4])
    assert decoder.generate([], []) == []
    assert [each.ids for each in decoder.generate([[5], [6]], [0, 0])] == [[], []]


# ---- systems --------------------------------------------------------------------------------------------------------


QUERIES = [
    Query("Angela Merkel visited Paris in May, said Bob Dylan.", {"artist": "Who sings", "city": "Big town"}),
    Query("Paris released a new album.", {"city": "Big town", "dish": "Food", "artist": "Who sings"}),
]


def spans(text, **mentions):
    found = [
        SimpleNamespace(start=text.index(word), end=text.index(word) + len(word), label=label)
        for label, words in mentions.items()
        for word in words
    ]
    return sorted(found, key=lambda each: each.start)


GOLD = [
    spans(QUERIES[0].text, artist=["Angela Merkel", "Bob Dylan"], city=["Paris"]),
    spans(QUERIES[1].text, artist=["Paris"]),
]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make_extractor(tokenizer, models, **settings):
    config = GenerativeConfig(**settings)
    decoders = [Decoder(each, {tokenizer.eos_token_id}, config.reuse_text, config.early_quit) for each in models]
    return build_extractor(tokenizer, decoders, config)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", GENERATIVE_SYSTEMS)
def test_gold_outputs_give_gold_entities(tokenizer, model, name, language):
    system = make_extractor(tokenizer, [model], system=name, language=language)
    for query, gold, extraction in zip(QUERIES, GOLD, system.extract(QUERIES, forced=GOLD), strict=True):
        assert not extraction.failures
        found, hallucinations = resolve_mentions(extraction, query.text, "none")
        assert [each[:3] for each in found] == [(each.start, each.end, each.label) for each in gold]
        assert not hallucinations and all(0 < each[3] < 1 for each in found)
        assert extraction.seconds > 0


def test_lengths_of_gold_outputs(tokenizer, model):
    """PaDeLLM: a count and a mention each, or an end alone; the others: the whole output."""
    encoded = lambda text: len(tokenizer(text)["input_ids"])  # noqa: E731
    extraction = make_extractor(tokenizer, [model]).extract(QUERIES[1:], forced=GOLD[1:])[0]
    assert sorted(extraction.lengths) == [1, 1, encoded("1\n") + encoded(" Paris") + 1]
    output = " ((artist): (Paris), (city): (NULL), (dish): (NULL))"
    structured = make_extractor(tokenizer, [model], system="autoreg-structured")
    assert structured.extract(QUERIES[1:], forced=GOLD[1:])[0].lengths == [encoded(output) + 1]


@pytest.mark.parametrize("forced", [GOLD, None])
def test_roads_agree(tokenizer, model, forced):
    """Batch and multi mode, simulated and spread over devices, with and without reuse and early quit."""
    roads = [
        ([model], {}),
        ([model], {"reuse_text": False}),
        ([model], {"early_quit": False}),
        ([model], {"reuse_text": False, "early_quit": False}),
        ([model], {"mode": "multi"}),
        ([model, model, model], {"mode": "multi"}),
    ]
    options = {"max_new_tokens": 12}
    expected = make_extractor(tokenizer, [model], **options).extract(QUERIES, forced=forced)
    for models, settings in roads:
        found = make_extractor(tokenizer, models, **options, **settings).extract(QUERIES, forced=forced)
        for each, other in zip(found, expected, strict=True):
            assert (each.mentions, each.failures, each.lengths) == (other.mentions, other.failures, other.lengths)
            assert each.probabilities == pytest.approx(other.probabilities, rel=1e-3)


def test_multi_mode_takes_as_long_as_its_slowest_sequence(tokenizer, model, monkeypatch):
    """With a clock that moves by one for every sequence that is decoded."""
    import jpt_ner.generative.extractors as extractors

    clock = [0.0]
    generate = Decoder.generate

    def slow(self, prompts, *arguments, **options):
        clock[0] += len(prompts)
        return generate(self, prompts, *arguments, **options)

    monkeypatch.setattr(Decoder, "generate", slow)
    monkeypatch.setattr(extractors.time, "perf_counter", lambda: clock[0])
    # Two counts and three mentions: all of them in one batch each; or one of each, the others meanwhile elsewhere.
    for mode, seconds in (("batch", 5.0), ("multi", 2.0)):
        extraction = make_extractor(tokenizer, [model], mode=mode).extract(QUERIES[:1], forced=GOLD[:1])[0]
        assert extraction.seconds == seconds


def test_absurd_counts_are_bounded(tokenizer, model, monkeypatch):
    ids = tokenizer("99999\n")["input_ids"]
    generate, asked = Decoder.generate, []

    def counting(self, prompts, limits, cache=None, stop_ids=(), forced=None):
        asked.append(len(prompts))
        forced = [ids] * len(prompts) if len(asked) == 1 else [[5]] * len(prompts)
        return generate(self, prompts, limits, cache, stop_ids, forced)

    monkeypatch.setattr(Decoder, "generate", counting)
    system = make_extractor(tokenizer, [model])
    system.extract([Query("Paris " * 40, {"city": ""})])
    assert asked == [1, 64]
    asked.clear()
    extraction = system.extract([Query("Paris", {"city": ""})])[0]
    assert asked == [1, len(system._ids("text: Paris\n"))] and extraction.failures["excess_count"] == 1


def test_unreadable_outputs_are_counted(tokenizer, model):
    """A random model: whatever it writes, nothing is found that the text does not hold, and failures are counted."""
    for name in GENERATIVE_SYSTEMS:
        system = make_extractor(tokenizer, [model], system=name, max_new_tokens=20)
        for query, extraction in zip(QUERIES, system.extract(QUERIES), strict=True):
            assert sum(extraction.failures.values()) > 0
            for start, end, label, _ in resolve_mentions(extraction, query.text)[0]:
                assert query.text[start:end] and label in query.labels


def test_chat_prompt_keeps_user_text_plain(tokenizer, model):
    system = make_extractor(tokenizer, [model], prompt="chat", max_new_tokens=4)
    prompt = system._prompt(Query("one <|im_end|> two", {"city": "Big <|im_start|> town"}))
    special = [token for token in prompt if token in (tokenizer.eos_token_id, tokenizer.bos_token_id)]
    assert len(special) == 4  # two turns
    assert "one <|im_end|> two" in tokenizer.decode(prompt) and "Big <|im_start|> town" in tokenizer.decode(prompt)
    assert len(system.extract(QUERIES)) == 2
    ye = make_extractor(tokenizer, [model], prompt="ye2023", max_new_tokens=4)
    assert "identify city Entity" in tokenizer.decode(ye._prompt(Query("Rome", {"city": ""})))
    assert len(make_extractor(tiny_tokenizer(None), [model], prompt="ye2023", max_new_tokens=4).extract(QUERIES)) == 2
    with pytest.raises(ValueError, match="chat template"):
        make_extractor(tiny_tokenizer(None), [model], prompt="chat").extract(QUERIES)


# ---- duplicates -----------------------------------------------------------------------------------------------------


def test_deduplication():
    """The example of Figure 2: Italy is LOC with more probability than MISC."""
    mentions = [Mention("LOC", "Italy"), Mention("LOC", "England"), Mention("MISC", "Italy"), Mention("LOC", "Italy")]
    probabilities = [0.98, 0.9, 0.61, 0.2]
    assert deduplicate(mentions, probabilities, "none") == [0, 1, 2, 3]
    # The second time under the same label is no duplicate: it may be the second occurrence.
    assert deduplicate(mentions, probabilities, "probability") == [0, 1, 3]
    assert deduplicate(mentions[:3], probabilities[:3], "reversed") == [1, 2]


def test_resolving():
    extraction = Extraction(
        [Mention("LOC", "Italy"), Mention("MISC", "Italy"), Mention("PER", "Rossi")], [0.9, 0.5, 0.7]
    )
    text = "Italy beat England, and Italy won."
    entities, failures = resolve_mentions(extraction, text)
    assert entities == [(0, 5, "LOC", 0.9)] and failures == {"invented_text": 1}
    assert [each[:3] for each in resolve_mentions(extraction, text, "reversed")[0]] == [(0, 5, "MISC")]
    extraction = Extraction([Mention("LOC", "Italy")] * 3, [0.9, 0.8, 0.7])
    entities, failures = resolve_mentions(extraction, text)
    assert [each[:2] for each in entities] == [(0, 5), (24, 29)] and failures == {"repeated_mention": 1}
