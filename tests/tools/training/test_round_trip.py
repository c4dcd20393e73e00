"""
Spans → labels of tokens → spans, for tokenizers of three families: what does not come back is counted, never silent.

On the shipped data always; on `../shared/data` where it is, a sample of each file. All of it, with the counts printed:

    ROUND_TRIP=all python -m pytest tests/tools/training/test_round_trip.py -s
"""

import os
import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from jpt_ner.inputs_jpt import encode_texts
from jpt_ner.labels_jpt import label_tokens
from jpt_ner.spans_jpt import decode_spans
from jpt_ner.tools.data.records import Record, iter_records, read_records
from jpt_ner.tools.training.preflight import measure_representation
from jpt_ner.words_jpt import trim_blanks
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data"
SAMPLE = None if os.environ.get("ROUND_TRIP") == "all" else 8
SPECIAL = ["<unk>", "<pad>"]


def product_tokenizer():
    return PreTrainedTokenizerFast(tokenizer_file=str(ROOT / "tokenizer.json"))


def sentencepiece_tokenizer(texts):
    """As of Llama 2, Gemma or T5: a mark for each space, pieces by likelihood, bytes for what is unknown."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="first"), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=1500, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False, max_piece_length=8
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")


def wordpiece_tokenizer(texts):
    """As of BERT: lower case without accents, punctuation apart, a word that is unknown is one token."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1500, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")


@pytest.fixture(scope="module")
def tokenizers():
    texts = [record.text for record in read_records(ROOT / "data" / "dev.jsonl.gz")]
    return {
        "product": product_tokenizer(),
        "sentencepiece": sentencepiece_tokenizer(texts),
        "wordpiece": wordpiece_tokenizer(texts),
    }


def round_trip(records: list[Record], tokenizer) -> tuple[int, int]:
    """
    Mentions, and those that did not come back; checks that labelling named these very ones, apart from mentions with
    a boundary that cannot be seen (such as a mark of the writing direction), which come back without it.
    """
    mentions = lost = 0
    for record, encoded in zip(records, encode_texts(tokenizer, [each.text for each in records]), strict=True):
        labels = sorted({each.label for each in record.entities})
        spans = [(each.start, each.end, labels.index(each.label)) for each in record.entities]
        tagged = label_tokens(record.text, encoded.offsets, spans)
        decoded = decode_spans(record.text, encoded.offsets, np.eye(2 + len(labels))[tagged.labels], rule="token")
        found = {(span.start, span.end, span.type_index) for span in decoded}
        named = {spans[index] for index in tagged.unrepresentable}
        visible = {(*trim_blanks(record.text, start, end), label) for start, end, label in set(spans) - named}
        assert visible <= found, record.id
        assert named or found == visible, record.id
        mentions += len(spans)
        lost += len(named | (set(spans) - visible))
    return mentions, lost


def counts(files: list[Path], tokenizers, sample: int | None) -> dict[str, tuple[int, int]]:
    total = dict.fromkeys(tokenizers, (0, 0))
    for file in files:
        # A sample is drawn from the beginning of a file: reading all of it takes longer than the round trip.
        records = list(islice(iter_records(file), sample and 20 * sample))
        if sample is not None and len(records) > sample:
            records = random.Random(0).sample(records, sample)
        for name, tokenizer in tokenizers.items():
            mentions, lost = round_trip(records, tokenizer)
            measured = measure_representation(records, tokenizer)
            assert (measured.mentions, measured.lost) == (mentions, lost)
            total[name] = (total[name][0] + mentions, total[name][1] + lost)
    for name, (mentions, lost) in total.items():
        print(f"{name}: {lost} of {mentions} mentions do not come back ({lost / mentions:.2%})")
    return total


def test_shipped_data_comes_back(tokenizers):
    files = sorted(set((ROOT / "data").rglob("*.jsonl.gz")) - {ROOT / "data" / "nested.jsonl.gz"})
    total = counts(files, tokenizers, SAMPLE and 10 * SAMPLE)
    assert len(files) == 16
    if SAMPLE is None:
        assert total["product"][0] == 67593
    for name, (mentions, lost) in total.items():
        assert mentions > 2000 and lost <= LOST[name] * mentions, name


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_all_other_data_comes_back(tokenizers):
    files = [
        path for path in sorted(SHARED.rglob("*.jsonl")) if path.name not in ("predictions.jsonl", "uniner_gold.jsonl")
    ]
    total = counts(files, tokenizers, SAMPLE)
    assert len(files) > 60
    for name, (mentions, lost) in total.items():
        assert mentions > 2500 and lost <= LOST_ELSEWHERE[name] * mentions, name


# Shares of mentions that may be lost: mentions of one type that touch, and boundaries within a token.
LOST = {"product": 0.01, "sentencepiece": 0.01, "wordpiece": 0.01}
LOST_ELSEWHERE = {"product": 0.05, "sentencepiece": 0.06, "wordpiece": 0.05}
