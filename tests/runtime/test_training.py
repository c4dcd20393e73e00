"""Training with any Trainer: rows of words and tags, the collator's batches, and the documented recipe."""

import pickle

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from jpt_ner.spans_jpt import decode_spans
from jpt_ner.training_jpt import ENCODED, TrainingCollator, collate
from tiny import tiny_tokenizer
from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

TYPES = {"PER": "A human being, by name.", "LOC": "A named place."}
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
WORDS = [["Angela", "Merkel", "visited", "Paris", "."], ["Bob", "Ann", "New", "York"], ["in", "May"]]
TAGS = [[1, 2, 0, 3, 0], [1, 1, 3, 4], [0, 0]]
ROWS = [{"tokens": words, "ner_tags": tags} for words, tags in zip(WORDS, TAGS)]


@pytest.fixture(scope="module")
def make_collator(make_model, encoder):
    def make(types=TYPES, *, model=None, **options):
        options = {"label_names": NAMES, "definition_encoder": encoder, **options}
        return (model or make_model()).training_collator(tiny_tokenizer(), types, **options)

    return make


@pytest.fixture(scope="module")
def collator(make_collator):
    return make_collator()


def spans_of(encoded, row, collator):
    """Mentions as the paper's rule reads them from labels, in text and type, and where one begins."""
    tokenizer = collator.tokenizer
    text = tokenizer.decode(encoded["input_ids"][row])
    offsets = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    labels = np.array(encoded["labels"][row])
    begins = (np.array(encoded["type_tags"][row]) == 2).astype(float)
    spans = decode_spans(text, offsets, np.eye(1 + len(collator.types))[labels], begins=begins, rule="token")
    return [(text[span.start : span.end], collator.types[span.type_index]) for span in spans]


def test_mentions_are_those_of_the_tags(collator):
    encoded = collator.encode({"id": [1, 2, 3], "tokens": WORDS, "ner_tags": TAGS})
    assert collator.types == ["LOC", "PER"]  # as a saved configuration has them
    assert list(encoded) == list(ENCODED)
    assert [len(row) for row in encoded["labels"]] == [len(row) for row in encoded["input_ids"]]
    assert spans_of(encoded, 0, collator) == [("Angela Merkel", "PER"), ("Paris", "LOC")]
    assert spans_of(encoded, 1, collator) == [("Bob", "PER"), ("Ann", "PER"), ("New York", "LOC")]
    assert spans_of(encoded, 2, collator) == []
    assert collator.tokenizer.decode(encoded["input_ids"][1]) == "Bob Ann New York"


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "O", "B-LOC", "O"],
        ["PER", "PER", "O", "LOC", "O"],
        ["B_PER", "E_PER", "_", "S_LOC", ""],
        ["I-PER", "L-PER", "O", "U-LOC", "O"],
    ],
)
def test_tags_in_every_style(collator, tags):
    encoded = collator.encode({"tokens": WORDS[:1], "ner_tags": [tags]})
    assert encoded == collator.encode({"tokens": WORDS[:1], "ner_tags": TAGS[:1]})


def test_types_may_look_like_tags(make_collator):
    found = make_collator(["B-cell", "cell"]).encode({"tokens": [["a", "b"]], "ner_tags": [["B-cell", "B-B-cell"]]})
    assert np.array(found["type_tags"][0])[-1].tolist() == [2, 0]


def test_rows_and_encoded_rows_make_the_same_batch(collator):
    encoded = Dataset.from_list(ROWS).map(collator.encode, batched=True, remove_columns=["tokens", "ner_tags"])
    assert set(encoded.column_names) == set(ENCODED)
    first, second = collator(ROWS), collator(list(encoded))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert first["labels"].shape == first["input_ids"].shape == first["type_tags"].shape[:2]
    assert first["definition_embeddings"].shape == (1, 3, 6)


def test_batches_are_what_the_model_reads(make_model, make_collator):
    model = make_model(begin_head=True, type_embedding="both")
    collator = make_collator(model=model)
    assert model.config.entity_types == TYPES
    together = model(**collator(ROWS))
    assert together.logits.shape[-1] == 3
    items = collator(ROWS)["labels"].ne(-100).sum()
    alone = sum(model(**collator([row]), num_items_in_batch=items).loss for row in ROWS)
    torch.testing.assert_close(together.loss, alone, rtol=1e-4, atol=1e-5)
    together.loss.backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_long_texts_are_learned_whole_and_once(make_model, make_collator):
    model = make_model(window_length=64, window_overlap=16)
    collator = make_collator(model=model)
    words, tags = WORDS[0] * 30, TAGS[0] * 30
    encoded = collator.encode({"tokens": [words], "ner_tags": [tags]})
    assert len(encoded["labels"]) > 3 and max(map(len, encoded["labels"])) <= 64
    learned = [label for row in encoded["labels"] for label in row if label != -100]
    whole = make_collator().encode({"tokens": [words], "ner_tags": [tags]})
    assert learned == [label for row in whole["labels"] for label in row if label != -100]
    assert len(collator([{"tokens": words, "ner_tags": tags}])["input_ids"]) == len(encoded["labels"])


def test_rows_without_tokens_are_left_out(collator):
    rows = [*ROWS, {"tokens": [], "ner_tags": []}, {"tokens": [""], "ner_tags": [0]}]
    assert len(collator(rows)["input_ids"]) == 3
    with pytest.raises(ValueError, match="no text of the batch has tokens"):
        collator(rows[3:])


def test_empty_words_are_no_part_of_a_mention(collator):
    """Whatever their tag: a mention has characters."""
    encoded = collator.encode({"tokens": [["", "Bob", "", "Ann", ""]], "ner_tags": [[3, 1, 2, 2, 3]]})
    expected = collator.encode({"tokens": [["", "Bob", "", "Ann", ""]], "ner_tags": [[0, 1, 2, 2, 0]]})
    assert encoded == expected and set(encoded["labels"][0]) - {0, -100}


def test_another_definition_encoder_is_refused(make_model, make_collator, encoder):
    model = make_model()
    model.config.definition_encoder = "another"
    with pytest.raises(
        ValueError, match=f"the definition encoder is '{encoder.name}', but the model was trained with 'another'"
    ):
        make_collator(model=model)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a"], "ner_tags": [0, 0]}, "row 0: there are 1 words and 2 tags"),
        ({"tokens": ["a"], "ner_tags": [5]}, "the tag 5 is none of the 5 in `label_names`"),
        ({"tokens": ["a"], "ner_tags": ["B-ORG"]}, "the tag 'B-ORG' is of none of the types .* 'LOC', 'PER'"),
        ({"tokens": ["a"], "ner_tags": [None]}, "the tag None is neither text nor a number"),
        ({"tokens": "a", "ner_tags": [0]}, "'tokens' must be a list of words"),
        ({"words": ["a"], "ner_tags": [0]}, "rows have no column 'tokens', but 'words', 'ner_tags'.*words_column"),
        ({}, "rows have no column 'tokens', but none at all.*remove_unused_columns=False"),
        ({"input_ids": [1], "labels": [0]}, "rows were tokenized by other means"),
    ],
)
def test_what_cannot_be_read_is_said(collator, row, message):
    with pytest.raises(ValueError, match=message):
        collator([row])


def test_numbers_need_names(make_collator):
    with pytest.raises(ValueError, match=r'the tag 1 is a number.*features\["ner_tags"\].feature.names'):
        make_collator(label_names=None)(ROWS)


def test_columns_of_other_names(make_collator, collator):
    other = make_collator(words_column="words", tags_column="tags")
    found = other([{"words": words, "tags": tags} for words, tags in zip(WORDS, TAGS)])
    assert torch.equal(found["labels"], collator(ROWS)["labels"])


def test_definitions_that_leave_no_room_are_refused(make_model, make_collator):
    with pytest.raises(ValueError, match="leaves no room for texts"):
        make_collator({"a": "word " * 300}, model=make_model(max_length=256))


def test_collators_go_to_workers(collator):
    assert torch.equal(pickle.loads(pickle.dumps(collator))(ROWS)["labels"], collator(ROWS)["labels"])


# ---- with the Trainer -----------------------------------------------------------------------------------------------


def arguments(folder, **values):
    values = {"max_steps": 3, "per_device_train_batch_size": 2, "learning_rate": 1e-2, "report_to": "none", **values}
    return TrainingArguments(str(folder), use_cpu=True, disable_tqdm=True, save_strategy="no", **values)


def test_a_trainer_learns_from_a_dataset(make_model, make_collator, tmp_path):
    model = make_model(type_embedding="both")
    collator = make_collator(model=model)
    features = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=NAMES))})
    dataset = Dataset.from_list(ROWS * 4, features=features)
    assert dataset.features["ner_tags"].feature.names == NAMES  # as the documentation has it
    encoded = dataset.map(collator.encode, batched=True, remove_columns=dataset.column_names)

    def compute_metrics(found):
        predicted = found.predictions.argmax(-1)
        known = found.label_ids != -100
        return {"accuracy": float((predicted == found.label_ids)[known].mean())}

    trainer = Trainer(
        model=model,
        args=arguments(tmp_path, max_steps=30),
        train_dataset=encoded,
        eval_dataset=encoded,
        data_collator=collator,
        compute_metrics=compute_metrics,
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"] / 2
    assert after["eval_accuracy"] > 0.9


def test_rows_as_they_are(make_model, make_collator, tmp_path):
    model = make_model()
    options = {"model": model, "train_dataset": ROWS, "data_collator": make_collator(model=model)}
    with pytest.raises(ValueError, match="remove_unused_columns=False"):
        Trainer(args=arguments(tmp_path), **options).train()
    Trainer(args=arguments(tmp_path, remove_unused_columns=False), **options).train()


def test_who_follows_the_tutorial_is_told(make_model, tmp_path):
    model, tokenizer = make_model(), tiny_tokenizer()
    rows = [{"input_ids": [5, 6], "attention_mask": [1, 1], "labels": [1, 2]}] * 2
    trainer = Trainer(
        model=model,
        args=arguments(tmp_path),
        train_dataset=rows,
        data_collator=DataCollatorForTokenClassification(tokenizer),
    )
    with pytest.raises(ValueError, match=r"data_collator=model.training_collator\(tokenizer, entity_types\)"):
        trainer.train()
    with pytest.raises(ValueError, match="`num_labels`: a JPT model has no fixed labels.*training_collator"):
        type(model.config)(num_labels=9)
    for labels in ({"id2label": dict(enumerate(NAMES))}, {"label2id": {name: i for i, name in enumerate(NAMES)}}):
        with pytest.raises(ValueError, match="has no fixed labels"):
            type(model.config)(**labels)
        model.save_pretrained(tmp_path / "saved")
        with pytest.raises(ValueError, match="has no fixed labels"):
            type(model).from_pretrained(tmp_path / "saved", **labels)


def test_groups_behind_several_prompts(make_model, collator, encoder):
    """Each text is read behind its own prompt, however many types the others have."""
    model = make_model()
    one = TrainingCollator(model, tiny_tokenizer(), ["dish"], definition_encoder=encoder)
    groups = [
        {**each._group, "texts": [tuple(map(np.array, row)) for row in zip(*each.encode(rows).values())]}
        for each, rows in (
            (collator, {"tokens": WORDS, "ner_tags": TAGS}),
            (one, {"tokens": [["rice"]], "ner_tags": [["dish"]]}),
        )
    ]
    batch = collate(groups, encoder)
    assert batch["prompt_index"].tolist() == [0, 0, 0, 1]
    assert batch["type_tags"].shape[-1] == 2 and batch["type_positions"].tolist()[1][1] == -1
    items = batch["labels"].ne(-100).sum()
    alone = sum(model(**collate([group], encoder), num_items_in_batch=items).loss for group in groups)
    torch.testing.assert_close(model(**batch).loss, alone, rtol=1e-4, atol=1e-5)
