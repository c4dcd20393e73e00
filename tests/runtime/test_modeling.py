"""The model against a naive one, under every way to pad, batch, pack and read ahead."""

import pytest
import torch
from cases import CASE, assert_same, by_text, random_ids
from jpt_ner.attention_jpt import PACKED_ATTENTION
from jpt_ner.configuration_jpt import JPTConfig
from jpt_ner.modeling_jpt import JPTForTokenClassification
from naive import NaiveModel
from tiny import FAMILIES, SIZES, save_backbone, tiny_backbone, tiny_model
from transformers import AutoConfig, AutoModel

BACKENDS = ("eager", "sdpa", PACKED_ATTENTION)
SEPARATOR = [7, 8, 9]
LOWEST = torch.finfo(torch.float32).min


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: save_backbone(tmp_path_factory.mktemp(name), name) for name in FAMILIES}


@pytest.fixture(scope="module")
def model(folders):
    return tiny_model(folders["llama"])


def naive_scores(model, attention="sdpa", readings=(None,) * 5):
    naive = NaiveModel(model, attention)
    return [
        naive.scores(
            *(text, CASE.prompts[i], CASE.positions[i], CASE.definitions[i, : 1 + len(CASE.positions[i])], reading)
        )
        for text, i, reading in zip(CASE.texts, CASE.index, readings, strict=True)
    ]


def naive_loss(model, scores, per_type=False) -> float:
    naive = NaiveModel(model, "eager")
    marks = CASE.type_tags if per_type else [None] * len(scores)
    sums = [
        naive.loss(*each[:2], labels, each[2] if len(each) > 2 else None, mark)
        for each, labels, mark in zip(scores, CASE.labels, marks, strict=True)
    ]
    return sum(total for total, _ in sums) / sum(count for _, count in sums)


# ---- equality with the naive model ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_every_family_and_backend_equals_the_naive_model(folders, family):
    model = tiny_model(folders[family])
    expected = naive_scores(model, "eager" if family == "gemma2" else "sdpa")
    batch = CASE.inputs(labels=True)
    for backend in BACKENDS:
        if (family, backend) == ("gemma2", "sdpa"):
            continue  # refused by transformers: sdpa knows no softcap
        model.set_attn_implementation(backend)
        output = model(**batch)
        assert_same(by_text(output, batch), expected)
        assert float(output.loss) == pytest.approx(naive_loss(model, expected), rel=1e-4)


@torch.no_grad()
def test_flex_attention_equals_the_naive_model(folders):
    model = tiny_model(folders["mistral"], attention="flex_attention")
    batch = CASE.inputs()
    with torch.compiler.set_stance("force_eager"):  # the same numbers without minutes of compilation
        assert_same(by_text(model(**batch), batch), naive_scores(model))


@torch.no_grad()
def test_of_a_model_that_also_sees_the_reading_part_is_taken(tmp_path):
    text = AutoConfig.for_model("gemma3_text", **{**SIZES, **FAMILIES["gemma3_text"]}).to_dict()
    sight = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sight |= {"image_size": 28, "patch_size": 14}
    seeing = AutoModel.from_config(AutoConfig.for_model("gemma3", text_config=text, vision_config=sight))
    seeing.save_pretrained(tmp_path)
    model = tiny_model(str(tmp_path))
    assert model.config.text_config.model_type == "gemma3_text"
    assert not any("vision" in name for name in model.state_dict())
    batch = CASE.inputs()
    assert_same(by_text(model(**batch), batch), naive_scores(model))


VARIANTS = {
    "separate projections": {"share_projections": False},
    "two hidden layers": {"projection_hidden_sizes": [24, 20]},
    "types from the prompt": {"type_embedding": "prompt"},
    "types from both": {"type_embedding": "both"},
    "types from both, separate": {"type_embedding": "both", "share_projections": False},
    "types from the prompt, separate": {"type_embedding": "prompt", "share_projections": False},
    "single pass": {"single_pass": True},
    "single pass, as it is said now": {"readings": ["once"]},
    "open mask": {"readings": ["open"]},
    "begin head": {"begin_head": True},
    "begin head, separate": {"begin_head": True, "share_projections": False, "type_embedding": "both"},
    "no adapters": {"lora_rank": 0},
    "other adapters": {"lora_target_modules": ["q_proj", "down_proj"], "lora_alpha": 3},
}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_every_variant_equals_the_naive_model(folders, values):
    model = tiny_model(folders["llama"], **values)
    expected = naive_scores(model)
    batch = CASE.inputs(labels=True)
    if values.get("type_embedding") == "prompt":
        del batch["definition_embeddings"]
    for backend in ("sdpa", PACKED_ATTENTION):
        model.set_attn_implementation(backend)
        output = model(**batch)
        assert_same(by_text(output, batch), expected)
        assert float(output.loss) == pytest.approx(naive_loss(model, expected), rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_every_reading_equals_the_naive_model(folders, family):
    """Each by itself and all in one batch, in every backend; windows and softcaps of the family stay in force."""
    model = tiny_model(folders[family], readings=["twice", "open", "once", "twice-open"], begin_head=True)
    mixed = ["open", "twice", "once", "open", "twice"]
    for reading in ("twice", "open", "once", "twice-open", mixed):
        readings = reading if reading is mixed else [reading] * 5
        expected = naive_scores(model, "eager" if family == "gemma2" else "sdpa", readings)
        batch = CASE.inputs(labels="per type", extra=2, side="left")
        for backend in BACKENDS:
            if (family, backend) == ("gemma2", "sdpa"):
                continue
            model.set_attn_implementation(backend)
            output = model(**batch, reading=reading)
            assert_same(by_text(output, batch), expected)
            assert float(output.loss) == pytest.approx(naive_loss(model, expected, per_type=True), rel=1e-4)
            if backend == PACKED_ATTENTION:
                ahead = {name: batch[name] for name in ("input_ids", "attention_mask", "prompt_index")}
                ahead["definition_embeddings"] = batch["definition_embeddings"]
                encoded = model.encode_prompts(CASE.prompts, CASE.positions)
                output = model(**ahead, encoded_prompts=encoded, reading=reading)
                assert_same(by_text(output, batch), expected)


@torch.no_grad()
def test_a_reading_the_weights_are_not_for_is_refused(folders, model):
    with pytest.raises(ValueError, match="`reading` must be one of those the model was trained for, 'twice'"):
        model(**CASE.inputs(), reading="open")
    with pytest.raises(ValueError, match="one for each of 5 texts"):
        model(**CASE.inputs(), reading=["twice"])
    with pytest.raises(ValueError, match="`readings` must be some of 'twice', 'open', 'once', 'twice-open'"):
        JPTConfig(readings=["thrice"])
    flash = tiny_model(folders["llama"], attention="flex_attention", readings=["open"])
    with pytest.raises(ValueError, match='`reading="open"` needs the attention backend'):
        flash(**CASE.inputs())


def test_a_model_grows_without_a_change_of_its_scores(folders):
    model = tiny_model(folders["llama"])
    batch = CASE.inputs(labels="per type")
    with torch.no_grad():
        before = by_text(model(**batch), batch)
        model.grow(lora_rank=5, begin_head=True)
        assert (model.config.lora_rank, model.config.lora_alpha, model.config.begin_head) == (5, 10, True)
        output = model(**batch)
        assert_same([each[:2] for each in by_text(output, batch)], before)
        assert all((each[2] == 0).all() for each in by_text(output, batch))
    model.train()(**batch).loss.backward()
    for name, parameter in model.named_parameters():
        if "begin_classifier.weight" in name or "lora_" in name:
            assert parameter.grad.abs().max() > 0, name
    with pytest.raises(ValueError, match="rank 5 cannot grow to rank 3"):
        model.grow(lora_rank=3)


def test_a_model_that_cannot_grow_stays_as_it_is(folders):
    """The adapters' scale is alpha divided by rank: a rounded alpha would change the scores once it is saved."""
    model = tiny_model(folders["llama"], lora_rank=2, lora_alpha=3)
    with pytest.raises(ValueError, match="^`lora_rank`: with rank 5, `lora_alpha` 3 would not stay in proportion"):
        model.grow(lora_rank=5, begin_head=True)
    assert (model.config.lora_rank, model.config.lora_alpha, model.config.begin_head) == (2, 3, False)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("values", [{}, {"type_embedding": "both"}], ids=["definition", "both"])
@torch.no_grad()
def test_prompts_read_before_equal_prompts_given(folders, backend, values):
    model = tiny_model(folders["llama"], attention=backend, **values)
    batch = CASE.inputs()
    expected = by_text(model(**batch), batch)
    encoded = model.encode_prompts(CASE.prompts, CASE.positions)
    assert all((prompt.memory > 0) == (backend == PACKED_ATTENTION) for prompt in encoded)
    ahead = {name: value for name, value in batch.items() if not name.startswith(("prompt_inp", "prompt_att", "type"))}
    for _ in range(2):  # used again, they are still as they were
        assert_same(by_text(model(**ahead, encoded_prompts=encoded), batch), expected)


# ---- padding and batches --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@torch.no_grad()
def test_padding_and_batch_do_not_matter(model, backend):
    model.set_attn_implementation(backend)
    batch = CASE.inputs()
    expected = by_text(model(**batch), batch)
    for side in ("right", "left", "inside"):
        for extra, junk in ((0, 0), (6, 0), (6, 33)):
            other = CASE.inputs(side=side, extra=extra, junk=junk)
            assert_same(by_text(model(**other), other), expected)
    for members in ([0], [1], [2], [4, 3], [2, 1, 0], [0, 0, 1]):
        other = CASE.inputs(members)
        assert_same(by_text(model(**other), other), [expected[i] for i in members])
    model.set_attn_implementation(PACKED_ATTENTION)


@torch.no_grad()
def test_one_prompt_for_all_or_one_for_each_need_no_index(model):
    batch = CASE.inputs([0, 3, 4])
    one = {**batch, "prompt_index": None}
    for name in ("prompt_input_ids", "prompt_attention_mask", "type_positions", "definition_embeddings"):
        one[name] = batch[name][:1]
    assert_same(by_text(model(**one), batch), by_text(model(**batch), batch))
    batch = CASE.inputs([0, 1])
    assert_same(by_text(model(**{**batch, "prompt_index": None}), batch), by_text(model(**batch), batch))


@torch.no_grad()
def test_an_empty_text_in_a_batch_harms_nobody(model):
    batch = CASE.inputs([0, 1])
    expected = by_text(model(**CASE.inputs([0])), CASE.inputs([0]))
    batch["attention_mask"][1] = 0
    for backend in BACKENDS:
        model.set_attn_implementation(backend)
        output = model(**batch)
        assert_same(by_text(output, batch)[:1], expected)
        assert (output.logits[1] == LOWEST).all()
    model.set_attn_implementation(PACKED_ATTENTION)


@torch.no_grad()
def test_logits_of_padding_and_of_types_not_asked_are_lowest(model):
    batch = CASE.inputs(extra=2)
    output = model(**batch)
    padding = batch["attention_mask"] == 0
    assert (output.logits[padding] == LOWEST).all() and (output.sigmoid_logits[padding] == LOWEST).all()
    assert (output.logits[1, :, 2:] == LOWEST).all() and (output.sigmoid_logits[1, :, 1:] == LOWEST).all()
    assert (output.logits[0, :7] > LOWEST).all()
    assert output.logits.dtype == output.sigmoid_logits.dtype == torch.float32

    probabilities = output.probabilities()
    assert probabilities.isfinite().all()
    assert (probabilities[1, 0, 2:] == 0).all()
    softmax, sigmoid = output.logits[0, 2].softmax(-1), output.sigmoid_logits[0, 2].sigmoid()
    expected = [(softmax[0] + 1 - sigmoid.max()) / 2, *((softmax[1:] + sigmoid) / 2)]
    torch.testing.assert_close(probabilities[0, 2], torch.stack(expected))


# ---- four traps that silently give wrong numbers --------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    return tiny_backbone(attention="sdpa")


@pytest.fixture(scope="module")
def probe(folders):
    """A model without adapters, and a way to look at the hidden states that its head is given."""
    model = tiny_model(folders["llama"], lora_rank=0)
    seen = []
    model.head.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))

    def second_pass(members, backend=PACKED_ATTENTION, **changes):
        seen.clear()
        model.set_attn_implementation(backend)
        model(**{**CASE.inputs(members), **changes})
        return torch.cat(seen)

    return second_pass


def alone(plain, text: int) -> torch.Tensor:
    """Hidden states of the second copy in `[prompt x SEP x]`, read by itself."""
    x, prompt = CASE.texts[text], CASE.prompts[CASE.index[text]]
    row = torch.cat([prompt, x, torch.tensor(SEPARATOR), x])
    return plain(row[None], use_cache=False).last_hidden_state[0, -len(x) :]


@torch.no_grad()
def test_trap_padding_before_duplicating(plain, probe):
    short, long, prompt = CASE.texts[3], CASE.texts[0], CASE.prompts[0]
    expected = alone(plain, 3)
    gap = torch.zeros(len(long) - len(short), dtype=torch.long)
    row = torch.cat([prompt, short, gap, torch.tensor(SEPARATOR), short, gap])
    mask = torch.ones(len(row), dtype=torch.long)
    mask[len(prompt) + len(short) :][: len(gap)] = mask[-len(gap) :] = 0
    trapped = plain(row[None], attention_mask=mask[None], use_cache=False).last_hidden_state[0]
    trapped = trapped[-len(long) :][: len(short)]
    assert (trapped - expected).abs().max() > 1e-2
    for backend in BACKENDS:
        states = probe([0, 3], backend)
        torch.testing.assert_close(states[len(long) :], expected, atol=1e-4, rtol=1e-4)


def packed_by_positions(texts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A row as transformers' own packing takes it: sequences one after another, positions that restart."""
    rows = []
    for text in texts:
        x = CASE.texts[text]
        rows.append(torch.cat([CASE.prompts[CASE.index[text]], x, torch.tensor(SEPARATOR), x]))
    return torch.cat(rows)[None], torch.cat([torch.arange(len(row)) for row in rows])[None]


@torch.no_grad()
def test_trap_packed_row_with_a_cache(plain, probe):
    row, positions = packed_by_positions([0, 3])
    trapped = plain(row, position_ids=positions, use_cache=True).last_hidden_state[0, -3:]
    expected = alone(plain, 3)
    assert (trapped - expected).abs().max() > 1e-2
    torch.testing.assert_close(probe([0, 3])[-3:], expected, atol=1e-4, rtol=1e-4)
    assert AutoConfig.for_model("llama", **SIZES).use_cache  # the default that the model has to overrule


@torch.no_grad()
def test_trap_packed_row_with_a_mask_of_ones(plain, probe):
    row, positions = packed_by_positions([0, 0])
    trapped = plain(row, position_ids=positions, attention_mask=torch.ones_like(row), use_cache=False)
    expected = alone(plain, 0)
    assert (trapped.last_hidden_state[0, -7:] - expected).abs().max() > 1e-2
    batch = CASE.inputs([0, 0])
    assert (batch["attention_mask"] == 1).all()
    for backend in BACKENDS:
        for mask in (batch["attention_mask"], None):
            torch.testing.assert_close(
                probe([0, 0], backend, attention_mask=mask)[-7:], expected, atol=1e-4, rtol=1e-4
            )


@torch.no_grad()
def test_trap_positions_that_restart_at_the_second_copy(plain, probe):
    """The second pass must see the first: its first token depends on the last one of the text."""
    x, prompt = CASE.texts[0], CASE.prompts[0]
    row = torch.cat([prompt, x, torch.tensor(SEPARATOR), x])
    start = len(row) - len(x)
    restarting = torch.cat([torch.arange(start), torch.arange(len(x))])
    changed = x.clone()
    changed[-1] = 11
    assert changed[-1] != x[-1]
    other = torch.cat([prompt, changed, torch.tensor(SEPARATOR), changed])

    trapped = [plain(each[None], position_ids=restarting[None], use_cache=False) for each in (row, other)]
    first, second = (output.last_hidden_state[0, start] for output in trapped)
    torch.testing.assert_close(first, second)  # silently blind to later tokens
    for backend in BACKENDS:
        states = [probe([0], backend, input_ids=ids[None])[0] for ids in (x, changed)]
        assert (states[0] - states[1]).abs().max() > 1e-2
        torch.testing.assert_close(states[0], alone(plain, 0)[0], atol=1e-4, rtol=1e-4)


# ---- loss -----------------------------------------------------------------------------------------------------------


def test_micro_batches_with_num_items_add_up_to_one_batch(model):
    model.train()
    whole = CASE.inputs(labels=True)
    model(**whole).loss.backward()
    expected = collect_gradients(model)
    items = (whole["labels"] != -100).sum()
    total = 0.0
    for members in ([0], [1, 2], [3, 4]):
        loss = model(**CASE.inputs(members, labels=True), num_items_in_batch=items).loss
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(model(**whole).loss.item(), rel=1e-5)
    assert_same_gradients(collect_gradients(model), expected)
    model.eval()


def test_loss_reaches_everything_that_is_trained_and_nothing_else(folders):
    model = tiny_model(folders["llama"], type_embedding="both", share_projections=False)
    model(**CASE.inputs(labels=True)).loss.backward()
    for name, parameter in model.named_parameters():
        trained = name.startswith("head.") or ".lora_" in name
        assert parameter.requires_grad == trained, name
        if trained:
            assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_labels_of_padding_are_not_read(model):
    batch = CASE.inputs(labels=True, extra=3)
    expected = model(**batch).loss
    batch["labels"][batch["attention_mask"] == 0] = 0
    items = int((CASE.inputs(labels=True)["labels"] != -100).sum())
    assert float(model(**batch, num_items_in_batch=items).loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(model(**batch).loss) == pytest.approx(float(expected), rel=1e-5)


def test_a_batch_without_labels_has_no_loss_and_no_nan(model):
    batch = CASE.inputs(labels=True)
    batch["labels"][:] = -100
    loss = model(**batch).loss
    loss.backward()
    assert loss.item() == 0
    assert all(gradient.isfinite().all() for gradient in collect_gradients(model).values())


def collect_gradients(model) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        tolerance = 1e-5 + 1e-4 * float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, atol=tolerance, rtol=1e-3, msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_activation_checkpointing_gives_equal_gradients(folders, backend):
    model = tiny_model(folders["llama"], attention=backend, type_embedding="both").train()
    batch = CASE.inputs(labels=True)
    model(**batch).loss.backward()
    expected = collect_gradients(model)
    model.activation_checkpointing_enable()
    calls = []
    hook = model.model.layers[0].mlp.register_forward_pre_hook(lambda *arguments: calls.append(1))
    model(**batch).loss.backward()
    assert len(calls) == 2  # once more on the way back
    assert_same_gradients(collect_gradients(model), expected)
    hook.remove()
    model.activation_checkpointing_disable()
    model.eval()


# ---- calls ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_return_dict_false_gives_a_tuple(model):
    batch = CASE.inputs(labels=True)
    output = model(**batch)
    loss, logits, sigmoid_logits = model(**batch, return_dict=False)
    expected = (output.loss, output.logits, output.sigmoid_logits)
    torch.testing.assert_close((loss, logits, sigmoid_logits), expected)
    assert len(model(**CASE.inputs(), return_dict=False)) == 2


BAD_CALLS = {
    "no prompt": ({"prompt_input_ids": None}, "`prompt_input_ids` and `type_positions`"),
    "no positions": ({"type_positions": None}, "`prompt_input_ids` and `type_positions`"),
    "no definitions": ({"definition_embeddings": None}, "`definition_embeddings`"),
    "definitions without O": ({"definition_embeddings": CASE.definitions[:, 1:]}, "`definition_embeddings`"),
    "definitions of another encoder": ({"definition_embeddings": torch.zeros(2, 4, 5)}, "`definition_embeddings`"),
    "definitions of one prompt": ({"definition_embeddings": CASE.definitions[:1]}, "`definition_embeddings`"),
    "index too large": ({"prompt_index": torch.tensor([0, 1, 2, 0, 0])}, "`prompt_index`"),
    "index negative": ({"prompt_index": torch.tensor([0, 1, -1, 0, 0])}, "`prompt_index`"),
    "index too short": ({"prompt_index": torch.tensor([0, 1])}, "`prompt_index`"),
    "two prompts, five texts": ({"prompt_index": None}, "`prompt_index`"),
    "label out of range": ({"labels": torch.full((5, 12), 4)}, "`labels`"),
    "label of another prompt": ({"labels": torch.full((5, 12), 2)}, "`labels`"),
}


@pytest.mark.parametrize(("changes", "culprit"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_calls_are_refused(model, changes, culprit):
    with pytest.raises(ValueError, match=culprit):
        model(**{**CASE.inputs(), **changes})


@pytest.mark.parametrize("backend", ["sdpa", PACKED_ATTENTION])
@torch.no_grad()
def test_too_long_sequences_are_refused_and_the_longest_fits(folders, backend):
    fitting = 14 + 2 * 7 + 3
    batch = CASE.inputs([0, 3])
    model = tiny_model(folders["llama"], attention=backend, max_length=fitting)
    assert model(**batch).logits.isfinite().all()
    model.config.max_length = fitting - 2
    with pytest.raises(ValueError, match=f"{fitting} tokens, 2 over the limit of {fitting - 2}"):
        model(**batch)
    with pytest.raises(ValueError, match="over the limit"):
        model.encode_prompts([random_ids(40, 1)], [torch.tensor([3])])

    # What the backbone was made for counts, too.
    short = tiny_model(folders["llama"], attention=backend, max_length=4096)
    short.model.config.max_position_embeddings = 20
    with pytest.raises(ValueError, match="limit of 20"):
        short(**batch)


@torch.no_grad()
def test_packed_attention_refuses_backbones_that_mix_tokens_otherwise(tmp_path):
    """Layers of linear attention or convolution carry a state from segment to segment of the row."""
    layers = {"layer_types": ["linear_attention", "full_attention"]}
    AutoModel.from_config(AutoConfig.for_model("qwen3_5_text", **SIZES, **layers)).save_pretrained(tmp_path)
    model = tiny_model(str(tmp_path))
    with pytest.raises(ValueError, match='attn_implementation="sdpa"'):
        model(**CASE.inputs())
    with pytest.raises(ValueError, match='attn_implementation="sdpa"'):
        model.encode_prompts(CASE.prompts, CASE.positions)
    model.set_attn_implementation("sdpa")
    batch = CASE.inputs()
    assert_same(by_text(model(**batch), batch), naive_scores(model))

    bloom = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 320}
    AutoModel.from_config(AutoConfig.for_model("bloom", **bloom)).save_pretrained(tmp_path / "bloom")
    with pytest.raises(ValueError):
        tiny_model(str(tmp_path / "bloom"), lora_target_modules=["query_key_value"])(**batch)


# ---- Table 5 --------------------------------------------------------------------------------------------------------

TABLE_5 = {
    "4B": ({"hidden_size": 2560, "intermediate_size": 9728}, 32, [1024], 23.6, 14.7),
    "8B": ({"hidden_size": 4096, "intermediate_size": 12288}, 128, [1024, 512], 122.7, 19.4),
}


@pytest.mark.parametrize(("size", "rank", "hidden", "lora", "projections"), TABLE_5.values(), ids=TABLE_5)
def test_trained_parameters_agree_with_table_5(size, rank, hidden, lora, projections):
    backbone = AutoConfig.for_model(
        "qwen3",
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
        **size,
    )
    config = JPTConfig(
        text_config=backbone,
        definition_encoder_size=4096,
        projection_hidden_sizes=hidden,
        share_projections=False,
        lora_rank=rank,
        lora_alpha=2 * rank,
    )
    with torch.device("meta"):
        model = JPTForTokenClassification(config)
        model.add_lora()
    assert all(parameter.is_meta for parameter in model.parameters())

    def millions(part: str) -> float:
        return sum(p.numel() for name, p in model.named_parameters() if p.requires_grad and part in name) / 1e6

    assert millions("lora_") == pytest.approx(lora, abs=0.05)
    assert millions("_projections.") == pytest.approx(projections, abs=0.05)
    assert millions("_classifier.") == pytest.approx(0.131, abs=0.001)
    assert millions("") == pytest.approx(lora + projections + 0.131, abs=0.1)
    assert not any("lm_head" in name for name, _ in model.named_parameters())
