"""JPT from the formulas of the paper, one text at a time and nothing shared, to compare the model with."""

from copy import deepcopy

import torch
from torch.nn.functional import gelu, layer_norm
from transformers import AutoModel


class NaiveModel:
    """
    Reads `prompt x SEP x` as one plain sequence per text and computes every score and the loss by its formula.

    Takes the numbers of a model, but none of its code: of the backbone the family's own class with plain attention,
    the adapters added to its weights.
    """

    def __init__(self, model, attention: str = "sdpa"):
        self.config = model.config
        self.weights = {name: tensor.detach().float() for name, tensor in model.state_dict().items()}
        self.backbone = AutoModel.from_config(deepcopy(model.model.config), attn_implementation=attention).eval()
        scale = self.config.lora_alpha / max(self.config.lora_rank, 1)
        plain = {}
        for name in self.backbone.state_dict():
            layer, _, part = f"model.{name}".rpartition(".")
            if f"{layer}.base_layer.{part}" not in self.weights:
                plain[name] = self.weights[f"{layer}.{part}"]
                continue
            plain[name] = self.weights[f"{layer}.base_layer.{part}"]
            if part == "weight":
                down = self.weights[f"{layer}.lora_A.default.weight"]
                up = self.weights[f"{layer}.lora_B.default.weight"]
                plain[name] = plain[name] + scale * up @ down
        self.backbone.load_state_dict(plain)

    def project(self, name: str, states: torch.Tensor) -> torch.Tensor:
        """Linear, LayerNorm, GELU for each hidden size, then linear (Eq. 2, 3)."""
        layer = 0
        while f"head.{name}.layers.{layer + 1}.weight" in self.weights:
            weight, bias = (self.weights[f"head.{name}.layers.{layer}.{part}"] for part in ("weight", "bias"))
            states = states @ weight.T + bias
            weight, bias = (self.weights[f"head.{name}.layers.{layer + 1}.{part}"] for part in ("weight", "bias"))
            states = gelu(layer_norm(states, weight.shape, weight, bias))
            layer += 3
        weight, bias = (self.weights[f"head.{name}.layers.{layer}.{part}"] for part in ("weight", "bias"))
        return states @ weight.T + bias

    def states(self, text, prompt, reading) -> torch.Tensor:
        """Last states of prompt and text, of one plain sequence with a mask that is written pair by pair."""
        separator = torch.tensor(self.config.separator_ids)
        row = torch.cat([prompt, text, separator, text] if "twice" in reading else [prompt, text])
        if "open" not in reading:
            return self.backbone(row[None], use_cache=False).last_hidden_state[0]
        window = getattr(self.backbone.config, "sliding_window", None)

        def mask(reach):
            hidden = torch.finfo(torch.float32).min
            return torch.tensor(
                [
                    [
                        0.0
                        if (key <= query or query >= len(prompt)) and (reach is None or abs(query - key) < reach)
                        else hidden
                        for key in range(len(row))
                    ]
                    for query in range(len(row))
                ]
            )[None, None]

        kinds = getattr(self.backbone.config, "layer_types", None)
        masks = mask(window)
        if kinds:
            masks = {kind: mask(window if kind == "sliding_attention" else None) for kind in set(kinds)}
        return self.backbone(row[None], attention_mask=masks, use_cache=False).last_hidden_state[0]

    def scores(self, text, prompt, positions, definitions, reading=None) -> tuple[torch.Tensor, ...]:
        """
        Scores `(n, 1 + types)`, `(n, types)` and, of the begin head, `(n, types)`, each entry `t_i^T W p_j + b_j`
        (Eq. 4) computed by itself.
        """
        states = self.states(text, prompt, reading or self.config.readings[0])
        second, type_states = states[len(states) - len(text) :], states[positions]

        scores = []
        second_copy = 0 if self.config.share_projections else 1
        heads = [(0, "softmax"), (second_copy, "sigmoid")] + [(second_copy, "begin")] * self.config.begin_head
        for copy, classifier in heads:
            tokens = self.project(f"token_projections.{copy}", second)
            if self.config.type_embedding == "prompt":
                types = torch.cat(
                    [
                        self.weights[f"head.outside_embeddings.{copy}.weight"],
                        self.project(f"prompt_projections.{copy}", type_states),
                    ]
                )
            else:
                types = self.project(f"entity_projections.{copy}", definitions)
                if self.config.type_embedding == "both":
                    types[1:] += self.project(f"prompt_projections.{copy}", type_states)
            matrix = self.weights[f"head.{classifier}_classifier.weight.weight"]
            weight, bias = (self.weights[f"head.{classifier}_classifier.bias.{part}"] for part in ("weight", "bias"))
            shared = self.weights.get(f"head.{classifier}_classifier.weight.bias", torch.zeros(len(matrix)))
            each = [[t @ matrix @ p + t @ shared + weight[0] @ p + bias[0] for p in types] for t in tokens]
            scores.append(torch.tensor(each).reshape(len(tokens), len(types)))
        return scores[0], *(each[:, 1:] for each in scores[1:])

    def loss(self, softmax_scores, sigmoid_scores, labels, begin_scores=None, type_tags=None) -> tuple[float, int]:
        """
        Sum over labelled tokens of weighted cross-entropy and focal loss (A.2) and, inside of mentions, of the begin
        head's binary cross-entropy; and how many there are.
        """
        total, count = 0.0, 0
        for token, label in enumerate(labels.tolist()):
            if label == -100:
                continue
            count += 1
            weight = 0.25 if label == 0 else 1.0
            total -= weight * float(softmax_scores[token].log_softmax(0)[label])
            for type_index, score in enumerate(sigmoid_scores[token].tolist()):
                p = 1 / (1 + 2.718281828459045**-score)
                mark = 0 if type_tags is None else int(type_tags[token, type_index])
                if mark and begin_scores is not None:
                    begins = float(begin_scores[token, type_index].sigmoid())
                    total -= float(torch.tensor(begins if mark == 2 else 1 - begins).log())
                if type_index + 1 == label if type_tags is None else mark:
                    total -= 5.0 * (1 - p) ** 2.5 * float(torch.tensor(p).log())
                else:
                    total -= p**2.5 * float(torch.tensor(1 - p).log())
        return total, count
