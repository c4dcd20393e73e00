"""Hidden states and embedded definitions in, scores out: projections into one space, bilinear heads, their loss.

Works on flat lists of tokens with the same candidate types. Knows nothing of backbones, prompts or padding.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import nn

from .configuration_jpt import JPTConfig


class JPTProjection(nn.Module):
    """MLP into the shared space (Eq. 2, 3; Table 5): linear, LayerNorm, GELU for each hidden size, then linear."""

    def __init__(self, input_size: int, hidden_sizes: Sequence[int], output_size: int):
        super().__init__()
        layers: list[nn.Module] = []
        for size in hidden_sizes:
            layers += [nn.Linear(input_size, size), nn.LayerNorm(size), nn.GELU()]
            input_size = size
        self.layers = nn.Sequential(*layers, nn.Linear(input_size, output_size))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.layers(states)


class JPTClassifier(nn.Module):
    """
    One bilinear head: `s_ij = t_i^T W p_j + b_j` (Eq. 4). `b_j` is a linear function of `p_j`, because a bias per type
    could not be learned for types that are unknown until inference.

    Args:
        size (`int`): Size of the space that tokens and types share.
        token_bias (`bool`): Adds a term that depends on the token alone, `t_i^T u`.
    """

    def __init__(self, size: int, token_bias: bool = False):
        super().__init__()
        self.weight = nn.Linear(size, size, bias=token_bias)
        self.bias = nn.Linear(size, 1)

    def forward(self, tokens: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """`tokens (tokens, size)`, `types (types, size)` to scores `(tokens, types)`."""
        return tokens @ self.weight(types).T + self.bias(types).T


class JPTHead(nn.Module):
    """Projections and classifiers: hidden states in, scores out."""

    def __init__(self, config: JPTConfig, hidden_size: int):
        super().__init__()
        copies = 1 if config.share_projections else 2
        sizes = config.projection_hidden_sizes, config.projection_size
        self.token_projections = nn.ModuleList(JPTProjection(hidden_size, *sizes) for _ in range(copies))
        self.entity_projections = nn.ModuleList(
            JPTProjection(config.definition_encoder_size, *sizes)
            for _ in range(copies)
            if config.type_embedding != "prompt"
        )
        self.prompt_projections = nn.ModuleList(
            JPTProjection(hidden_size, *sizes) for _ in range(copies) if config.type_embedding != "definition"
        )
        # Without a definition encoder, O has no text to embed.
        self.outside_embeddings = nn.ModuleList(
            nn.Embedding(1, config.projection_size) for _ in range(copies) if config.type_embedding == "prompt"
        )
        self.softmax_classifier = JPTClassifier(config.projection_size)
        self.sigmoid_classifier = JPTClassifier(config.projection_size)
        self.begin_classifier: JPTClassifier | None = None
        if config.begin_head:
            self.add_begin_classifier(config.projection_size)

    def add_begin_classifier(self, size: int) -> None:
        """Adds the head that predicts where mentions begin. Until it is trained, its probabilities are one half."""
        classifier = JPTClassifier(size, token_bias=True)
        for parameter in classifier.parameters():
            nn.init.zeros_(parameter)
        self.begin_classifier = classifier.to(self.softmax_classifier.weight.weight)

    def _types(self, copy: int, definitions: torch.Tensor | None, type_states: torch.Tensor) -> torch.Tensor:
        if not len(self.entity_projections):
            return torch.cat([self.outside_embeddings[copy].weight, self.prompt_projections[copy](type_states)])
        types = self.entity_projections[copy](definitions)
        if len(self.prompt_projections):
            prompt = self.prompt_projections[copy](type_states)
            types = types + torch.cat([torch.zeros_like(prompt[:1]), prompt])
        return types

    def forward(
        self, states: torch.Tensor, definitions: torch.Tensor | None, type_states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """
        Args:
            states (`Tensor` of shape `(tokens, hidden_size)`): Last-copy tokens of texts with the same types.
            definitions (`Tensor` of shape `(1 + types, encoder_size)`): Embedded definitions, O first.
            type_states (`Tensor` of shape `(types, hidden_size)`): The prompt's hidden states of the types.

        Returns:
            Softmax scores `(tokens, 1 + types)`, sigmoid scores `(tokens, types)` and, if there is a begin head, begin
            scores `(tokens, types)`.
        """
        dtype = self.softmax_classifier.weight.weight.dtype
        states, type_states = states.to(dtype), type_states.to(dtype)
        definitions = None if definitions is None else definitions.to(dtype)
        softmax, sigmoid = 0, len(self.token_projections) - 1
        tokens = [projection(states) for projection in self.token_projections]
        types = [self._types(copy, definitions, type_states) for copy in range(len(tokens))]
        begin = None
        if self.begin_classifier is not None:
            begin = self.begin_classifier(tokens[sigmoid], types[sigmoid][1:])
        return (
            self.softmax_classifier(tokens[softmax], types[softmax]),
            self.sigmoid_classifier(tokens[sigmoid], types[sigmoid][1:]),
            begin,
        )


def mean_probabilities(softmax: torch.Tensor, sigmoid: torch.Tensor) -> torch.Tensor:
    """
    Mean of the softmax and sigmoid heads' probabilities (A.2). The sigmoid head's probability of O is one minus that of its
    most probable type.

    Args:
        softmax (`Tensor` of shape `(..., 1 + types)`): Probabilities of the softmax head, O first.
        sigmoid (`Tensor` of shape `(..., types)`): Probabilities of the sigmoid head.
    """
    outside = 1 - sigmoid.amax(-1, keepdim=True)
    return (softmax + torch.cat([outside, sigmoid], dim=-1)) / 2


@lru_cache
def sigmoid_output(probability: float, focal_gamma: float, positive_weight: float) -> float:
    """
    The output of a fully trained sigmoid head for a token that is of a type with this probability: the minimum of the
    expected focal loss (A.2). The probability itself for unweighted cross-entropy; with the paper's values 0.625 for 0.5, and 0.5
    means one time in six.
    """

    def slope(p: float) -> float:
        """Slope of the expected loss, up to a factor; its sign says on which side of the minimum `p` is."""
        rises = p**focal_gamma / (1 - p) - focal_gamma * p ** (focal_gamma - 1) * math.log1p(-p)
        falls = (1 - p) ** focal_gamma / p - focal_gamma * (1 - p) ** (focal_gamma - 1) * math.log(p)
        return (1 - probability) * rises - probability * positive_weight * falls

    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return (low + high) / 2


def classification_loss(
    softmax_scores: torch.Tensor,
    sigmoid_scores: torch.Tensor,
    begin_scores: torch.Tensor | None,
    labels: torch.Tensor,
    type_tags: torch.Tensor | None,
    config: JPTConfig,
) -> torch.Tensor:
    """
    Sum over tokens of weighted cross-entropy and focal loss (A.2; the latter also summed over types). The begin head adds
    binary cross-entropy, over the tokens and types of mentions only.

    Args:
        softmax_scores (`Tensor` of shape `(tokens, 1 + types)`), sigmoid_scores (`(tokens, types)`): Scores.
        begin_scores (`Tensor` of shape `(tokens, types)`, *optional*): Scores of the begin head.
        labels (`Tensor` of shape `(tokens,)`): 0 for O, j for the j-th type, -100 to ignore.
        type_tags (`Tensor` of shape `(tokens, types)`, *optional*):
            For each type 0 outside its mentions, 1 inside, 2 where one begins; mentions of different types may overlap.
            Without it the sigmoid head learns from `labels`, and the begin head not at all.

    Raises:
        ValueError: If a label is out of range.
    """
    known = labels != -100
    softmax_scores, sigmoid_scores, labels = softmax_scores[known], sigmoid_scores[known], labels[known]
    if ((labels < 0) | (labels >= softmax_scores.shape[1])).any():
        raise ValueError(
            f"`labels` must be from 0 to {sigmoid_scores.shape[1]}, the number of types in the text's prompt, or "
            f"-100; got {labels.min()} to {labels.max()}"
        )
    weight = torch.ones(softmax_scores.shape[1], device=softmax_scores.device)
    weight[0] = config.outside_weight
    cross_entropy = nn.functional.cross_entropy(softmax_scores, labels, weight=weight, reduction="sum")
    if type_tags is None:
        inside = nn.functional.one_hot(labels, softmax_scores.shape[1])[:, 1:] > 0
    else:
        type_tags = type_tags[known]
        inside = type_tags > 0
    target = inside.to(sigmoid_scores.dtype)
    wrong = (sigmoid_scores.sigmoid() - target).abs()
    binary = nn.functional.binary_cross_entropy_with_logits(
        sigmoid_scores,
        target,
        reduction="none",
        pos_weight=torch.tensor(config.positive_weight, device=target.device),
    )
    loss = cross_entropy + (wrong**config.focal_gamma * binary).sum()
    if begin_scores is not None and type_tags is not None:
        begins = (type_tags[inside] == 2).to(begin_scores.dtype)
        loss = loss + config.begin_weight * nn.functional.binary_cross_entropy_with_logits(
            begin_scores[known][inside], begins, reduction="sum"
        )
    return loss
