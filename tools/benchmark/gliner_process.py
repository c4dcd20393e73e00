"""GLiNER or GLiNER2 in a process of its own, started by `gliner_system` in its own environment: JSON lines in and out.

Imports nothing of this project: GLiNER needs an older transformers. The library builds the model in the sizes of the
published ones with random weights, and the tokenizer is that of the benchmarked model: no checkpoint is needed, and time
depends on sizes, not on weights.
"""

import contextlib
import json
import sys
import tempfile
import time

# Encoders: DeBERTa-v3.
SMALL = {"hidden_size": 768, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 3072}
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
# gliner_small-v2.1, gliner_medium-v2.1, gliner_large-v2.1; gliner2-base-v1, gliner2-large-v1.
SHAPES = {
    "gliner": {"small": SMALL, "medium": BASE, "large": LARGE},
    "gliner2": {"base": BASE, "large": LARGE},
}
DEBERTA_V3 = {
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "max_relative_positions": -1,
    "max_position_embeddings": 512,
    "layer_norm_eps": 1e-7,
    "type_vocab_size": 0,
}
# Random scores are all near one half: with this threshold nothing is decoded, and only the model's own time counts.
THRESHOLD = 0.999


def build(library: str, tokenizer_file: str, shape: str, dtype: str, device: str):
    import torch
    from transformers import DebertaV2Config, PreTrainedTokenizerFast

    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file)
    first = tokenizer.convert_ids_to_tokens(0)
    tokenizer.add_special_tokens({"pad_token": first, "cls_token": first, "sep_token": first})
    encoder = DebertaV2Config(vocab_size=len(tokenizer), **DEBERTA_V3, **SHAPES[library][shape])
    model = (build_gliner if library == "gliner" else build_gliner2)(tokenizer, encoder, getattr(torch, dtype))
    return model.to(device=device, dtype=getattr(torch, dtype)).eval()


def build_gliner(tokenizer, encoder, dtype):
    import torch
    from gliner import GLiNER, GLiNERConfig

    torch.set_default_dtype(dtype)  # otherwise large models are first built at twice their size
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        encoder.save_pretrained(folder)
        config = GLiNERConfig(model_name=folder, hidden_size=512, max_width=12, max_len=384, span_mode="markerV0")
        model = GLiNER.from_config(config, backbone_from_pretrained=False)
    torch.set_default_dtype(torch.float32)
    return model


def build_gliner2(tokenizer, encoder, dtype):
    from gliner2 import GLiNER2
    from gliner2.configuration import ExtractorConfig

    return GLiNER2(ExtractorConfig(max_width=8), encoder_config=encoder, tokenizer=tokenizer)


def infer(library: str, model, texts: list[str], types: dict[str, str], batch_size: int) -> None:
    if library == "gliner":
        model.inference(texts, list(types), threshold=THRESHOLD, batch_size=batch_size, flat_ner=True)
    else:
        model.batch_extract_entities(texts, types, batch_size=batch_size, threshold=THRESHOLD)


def main() -> None:
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        options = json.loads(sys.argv[1])
        import torch

        torch.set_num_threads(options.pop("threads"))
        model = build(**options)
        weights = [(name, weight.numel()) for name, weight in model.named_parameters()]
        embeddings = sum(count for name, count in weights if "word_embeddings" in name)
        parameters = sum(count for _, count in weights)
        print(json.dumps({"parameters": parameters, "embeddings": embeddings}), file=answers, flush=True)
        for line in sys.stdin:
            call = json.loads(line)
            began = time.perf_counter()
            with torch.inference_mode():
                infer(options["library"], model, **call)
            print(json.dumps({"seconds": time.perf_counter() - began}), file=answers, flush=True)


if __name__ == "__main__":
    main()
