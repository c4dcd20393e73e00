"""The model: texts once, prompts and definition embeddings in; scores of every token for every type out.

`JPTForTokenClassification.forward` duplicates the texts, runs the backbone and passes the last copies to the heads of
`heads_jpt`. Token ids come from `inputs_jpt`, spans are decoded by `spans_jpt`; `checkpoint_jpt` loads and saves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple

from .attention_jpt import PACKED_ATTENTION, PackedLayout, Segment, dense_mask
from .checkpoint_jpt import JPTCheckpointModel
from .configuration_jpt import JPTConfig
from .flex_jpt import is_packed
from .fused_jpt import fused_backbone
from .heads_jpt import JPTClassifier, JPTHead, classification_loss, mean_probabilities
from .reading_jpt import READING_MODES, laid_out_length, lay_out, longest_text


@dataclass
class EncodedPrompt:
    """
    A prompt that the backbone has read, with its KV cache, for any number of texts to continue.

    Args:
        input_ids (`Tensor` of shape `(prompt_length,)`): Its token ids.
        type_states (`Tensor` of shape `(types, hidden_size)`): Hidden states at the ends of the types' lines.
        states (`list[tuple[Tensor, Tensor]]`):
            KV cache: keys and values per layer, each `(key_value_heads, prompt_length, head_dim)`. Empty if the
            attention backend keeps none; the prompt is then read again with every text.
    """

    input_ids: torch.Tensor
    type_states: torch.Tensor
    states: list[tuple[torch.Tensor, torch.Tensor]]

    @property
    def memory(self) -> int:
        """Bytes held by the keys and values."""
        return sum(key.nbytes + value.nbytes for key, value in self.states)


@dataclass
class JPTTokenClassifierOutput(ModelOutput):
    """
    Args:
        loss (`Tensor` of shape `()`, *optional*): The sum of the heads' losses, if labels were given.
        logits (`Tensor` of shape `(batch, tokens, 1 + types)`):
            Softmax head, O first. Padding, and types that are no candidates of a text, have the lowest finite value.
        sigmoid_logits (`Tensor` of shape `(batch, tokens, types)`): Sigmoid head, one binary decision per type.
        begin_logits (`Tensor` of shape `(batch, tokens, types)`, *optional*):
            Begin head, if there is one: whether a mention of the type begins at the token, provided it is in one.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    sigmoid_logits: torch.Tensor | None = None
    begin_logits: torch.Tensor | None = None

    def probabilities(self) -> torch.Tensor:
        """Mean of the softmax and sigmoid heads (A.2), `(batch, tokens, 1 + types)`."""
        return mean_probabilities(self.logits.float().softmax(-1), self.sigmoid_logits.float().sigmoid())


class JPTPreTrainedModel(JPTCheckpointModel):
    config: JPTConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict = {"head"}

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, JPTClassifier):
            if module.weight.bias is not None:
                init.zeros_(module.weight.weight)  # The begin head starts with one half for every token.
            else:
                # A scaled identity: from the first step on, the score of token and type is their similarity.
                size = module.weight.in_features
                init.copy_(module.weight.weight, torch.eye(size) / size**0.5)
            init.zeros_(module.bias.weight)
            init.zeros_(module.bias.bias)


@dataclass
class _Batch:
    """
    The arguments of `forward`, resolved: every text without padding, with its prompt and its reading.

    `prompts` are still to be read, `encoded` were read before; one of the two is empty.
    """

    texts: list[torch.Tensor]
    readings: list[str]
    index: list[int]
    prompts: list[torch.Tensor]
    encoded: list[EncodedPrompt]
    positions: list[torch.Tensor]
    counts: list[int]
    mask: torch.Tensor


class JPTForTokenClassification(JPTPreTrainedModel):
    """
    Just Pass Twice: token classification with a causal language model and definitions of types.

    Build an untrained model around a backbone with [`~JPTForTokenClassification.from_backbone`], load a trained one
    with [`~JPTForTokenClassification.from_pretrained`].
    """

    def __init__(self, config: JPTConfig, backbone: PreTrainedModel | None = None):
        if config._attn_implementation is None:
            config._attn_implementation = PACKED_ATTENTION
        super().__init__(config)
        self.model = AutoModel.from_config(config.text_config) if backbone is None else backbone
        self.head = JPTHead(config, config.get_text_config().hidden_size)
        self.post_init()

    def as_pipeline(self, tokenizer, **kwargs):
        """The `jpt-ner` pipeline around this model."""
        # Because of this import, saving the model copies the pipeline's file too, so that a fine-tuned folder is complete.
        from .pipeline_jpt import JPTPipeline

        return JPTPipeline(model=self, tokenizer=tokenizer, **kwargs)

    def training_collator(self, tokenizer, entity_types, **kwargs):
        """A data collator for training this model with any Trainer; see [`~training_jpt.TrainingCollator`]."""
        from .training_jpt import TrainingCollator

        return TrainingCollator(self, tokenizer, entity_types, **kwargs)

    # Lengths

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of prompt and laid-out text together."""
        # Some backbones have no positions, and so no limit.
        own_limit = getattr(self.model.config, "max_position_embeddings", None) or self.config.max_length
        return min(self.config.max_length, own_limit)

    def text_cost(self, tokens: int, reading: str | None = None) -> int:
        """Number of tokens that the backbone reads for a text of so many."""
        return laid_out_length(tokens, len(self.config.separator_ids), reading or self.config.readings[0])

    def window(self, prompt: int, reading: str | None = None) -> tuple[int, int]:
        """Length and overlap of windows behind a prompt of so many tokens, in tokens of one copy; below 1 if none fit."""
        room = self.context_length - prompt
        room = longest_text(room, len(self.config.separator_ids), reading or self.config.readings[0])
        length = min(self.config.window_length, room)
        return length, self.config.window_overlap * length // self.config.window_length

    def _check_length(self, length: int) -> None:
        if length > self.context_length:
            raise ValueError(
                f"`input_ids`: prompt and doubled text take {length} tokens, {length - self.context_length} over the "
                f"limit of {self.context_length}"
            )

    # Computation

    @torch.no_grad()
    def encode_prompts(
        self, prompts: Sequence[torch.Tensor], type_positions: Sequence[torch.Tensor]
    ) -> list[EncodedPrompt]:
        """
        Reads prompts once, for any number of later `forward` calls.

        Args:
            prompts (`Sequence[Tensor]`): Token ids of each prompt, each of shape `(prompt_length,)`.
            type_positions (`Sequence[Tensor]`): Positions of each prompt's types, each of shape `(types,)`.
        """
        encoded = []
        for input_ids, positions in zip(prompts, type_positions, strict=True):
            self._check_length(len(input_ids))
            input_ids = input_ids.to(self.model.device)
            layout = PackedLayout([Segment(0, len(input_ids))], keep_states=True)
            if is_packed(self.model.config):
                (states,) = self.read_row(layout, input_ids, torch.arange(len(input_ids), device=input_ids.device))
            else:
                states = self.model(input_ids=input_ids[None], use_cache=False).last_hidden_state[0]
            cache = [layout.states[layer] for layer in sorted(layout.states)]
            encoded.append(EncodedPrompt(input_ids, states[positions.to(states.device)], cache))
        return encoded

    def read_row(
        self, layout: PackedLayout, input_ids: torch.Tensor, position_ids: torch.Tensor
    ) -> list[torch.Tensor]:
        """
        Reads a packed row with the backbone.

        Args:
            layout (`PackedLayout`): Its segments.
            input_ids, position_ids (`Tensor` of shape `(tokens,)`): Its tokens, and their positions in prompt and text.

        Returns:
            `list[Tensor]`: Hidden states of the wanted tokens of each segment, each of shape `(tokens, hidden_size)`.
        """
        fused = fused_backbone(self.model)
        if fused is not None:
            states = fused.read(self.model, layout, input_ids, position_ids)
            return list(states.split([len(segment.wanted) for segment in layout.segments]))
        states = self.model(
            input_ids=input_ids[None], position_ids=position_ids[None], use_cache=False, packed_layout=layout
        ).last_hidden_state[0]
        layout.check_followed(self.model.config)
        return [states[segment.wanted.start : segment.wanted.stop] for segment in layout.segments]

    def _lay_out(self, text: torch.Tensor, reading: str) -> torch.Tensor:
        return lay_out(text, torch.tensor(self.config.separator_ids, dtype=text.dtype, device=text.device), reading)

    def _read_packed(self, batch: _Batch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """One row without padding. Returns hidden states per text (last copy) and per prompt of the row."""
        pieces, positions, segments, start = [], [], [], 0
        lengths = [len(prompt.input_ids) for prompt in batch.encoded] + [len(prompt) for prompt in batch.prompts]
        for prompt in batch.prompts:
            segments.append(Segment(start, start + len(prompt)))
            pieces.append(prompt)
            positions.append(torch.arange(len(prompt), device=prompt.device))
            start += len(prompt)
        for text, reading, prompt in zip(batch.texts, batch.readings, batch.index, strict=True):
            tokens, before = self._lay_out(text, reading), lengths[prompt]
            self._check_length(before + len(tokens))
            is_open = READING_MODES[reading].open
            segments.append(Segment(start, start + len(tokens), prompt, read=len(text), open=is_open))
            pieces.append(tokens)
            positions.append(torch.arange(before, before + len(tokens), device=text.device))
            start += len(tokens)
        layout = PackedLayout(segments, prompt_states=[prompt.states for prompt in batch.encoded])
        states = self.read_row(layout, torch.cat(pieces), torch.cat(positions))
        return states[len(batch.prompts) :], states[: len(batch.prompts)]

    def _read_rows(self, batch: _Batch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """One right-padded row per text, for any attention backend. Duplicates first, then pads."""
        prompts = [prompt.input_ids for prompt in batch.encoded] or batch.prompts
        texts = [self._lay_out(text, reading) for text, reading in zip(batch.texts, batch.readings, strict=True)]
        rows = [torch.cat([prompts[prompt], text]) for text, prompt in zip(texts, batch.index, strict=True)]
        self._check_length(max(len(row) for row in rows))
        input_ids = pad_sequence(rows, batch_first=True)
        is_open = [READING_MODES[reading].open for reading in batch.readings]
        if any(is_open):
            starts = [len(row) - len(text) if each else None for row, text, each in zip(rows, texts, is_open)]
            lengths = [len(row) for row in rows]
            mask = dense_mask(self.model.config, lengths, starts, self.model.dtype, input_ids.device)
        else:
            mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        states = self.model(input_ids=input_ids, attention_mask=mask, use_cache=False).last_hidden_state
        text_states = [
            states[i, len(row) - len(text) : len(row)]
            for i, (row, text) in enumerate(zip(rows, batch.texts, strict=True))
        ]
        first = {prompt: row for row, prompt in reversed(list(enumerate(batch.index)))}
        prompt_states = [
            states[first[i], : len(prompt)] if i in first else states.new_zeros(len(prompt), states.shape[-1])
            for i, prompt in enumerate(prompts)
        ]
        return text_states, prompt_states

    # Not compiled by `torch.compile(model)`: rows differ in length and layout, and would be recompiled again and again.
    @torch.compiler.disable
    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        prompt_input_ids: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        prompt_index: torch.Tensor | None = None,
        type_positions: torch.Tensor | None = None,
        definition_embeddings: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        type_tags: torch.Tensor | None = None,
        encoded_prompts: list[EncodedPrompt] | None = None,
        reading: str | Sequence[str] | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs,
    ) -> JPTTokenClassifierOutput:
        """
        Args:
            input_ids (`Tensor` of shape `(batch, tokens)`): Texts, once each. They are duplicated here.
            attention_mask (`Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, 0 for padding on either side.
            prompt_input_ids (`Tensor` of shape `(prompts, prompt_length)`): From `inputs_jpt.build_prompt`.
            prompt_attention_mask (`Tensor` of shape `(prompts, prompt_length)`, *optional*): Likewise for prompts.
            prompt_index (`Tensor` of shape `(batch,)`, *optional*):
                Prompt of each text. Defaults to the only prompt, or to the i-th for the i-th text.
            type_positions (`Tensor` of shape `(prompts, types)`):
                Positions of the types in their prompt, counted without padding; -1 where a prompt has fewer types.
            definition_embeddings (`Tensor` of shape `(prompts, 1 + types, encoder_size)`):
                Embedded definitions, O first. Not needed if `config.type_embedding` is `"prompt"`.
            labels (`Tensor` of shape `(batch, tokens)`, *optional*): 0 for O, j for the j-th type, -100 to ignore.
            type_tags (`Tensor` of shape `(batch, tokens, types)`, *optional*):
                For each type 0 outside its mentions, 1 inside, 2 where one begins; mentions of different types may
                overlap. Targets of the sigmoid and begin heads, used where `labels` are not -100.
            encoded_prompts (`list[EncodedPrompt]`, *optional*):
                From `encode_prompts`, in place of `prompt_input_ids`, `prompt_attention_mask` and `type_positions`.
            reading (`str` or `list[str]`, *optional*):
                How texts are read, or each of them; defaults to the first of `config.readings`.
            num_items_in_batch (`Tensor` or `int`, *optional*):
                Divisor of the loss, passed by the Trainer under gradient accumulation. Defaults to the number of
                labels.

        Raises:
            ValueError: If prompts are missing, indices are out of range, a sequence is too long, or the weights were
                not trained for the reading.
        """
        batch = self._resolve(
            *(input_ids, attention_mask, prompt_input_ids, prompt_attention_mask, prompt_index, type_positions),
            *(encoded_prompts or [], reading),
        )
        if self.config.type_embedding != "prompt":
            self._check_definitions(definition_embeddings, batch.counts)
        text_states, prompt_states = (
            self._read_packed(batch) if is_packed(self.model.config) else self._read_rows(batch)
        )
        type_states = [prompt.type_states for prompt in batch.encoded] or [
            states[positions.to(states.device)]
            for states, positions in zip(prompt_states, batch.positions, strict=True)
        ]
        return self._score(
            batch, text_states, type_states, definition_embeddings, labels, type_tags, num_items_in_batch
        )

    def _resolve(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        prompt_input_ids: torch.Tensor | None,
        prompt_attention_mask: torch.Tensor | None,
        prompt_index: torch.Tensor | None,
        type_positions: torch.Tensor | None,
        encoded: list[EncodedPrompt],
        reading: str | Sequence[str] | None,
    ) -> _Batch:
        device = self.model.device
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mask = mask.bool()
        texts = [row[keep].to(device) for row, keep in zip(input_ids, mask, strict=True)]
        prompts, positions = [], []
        if encoded:
            counts = [len(prompt.type_states) for prompt in encoded]
        elif prompt_input_ids is None or type_positions is None:
            raise ValueError(
                "`prompt_input_ids` and `type_positions`, or `encoded_prompts`, must be given; to tag texts, use "
                "`model.as_pipeline(tokenizer)`; to train, give the Trainer "
                "`data_collator=model.training_collator(tokenizer, entity_types)`"
            )
        else:
            if prompt_attention_mask is None:
                prompt_attention_mask = torch.ones_like(prompt_input_ids)
            prompts = [
                row[keep].to(device) for row, keep in zip(prompt_input_ids, prompt_attention_mask.bool(), strict=True)
            ]
            counts = (type_positions >= 0).sum(-1).tolist()
            positions = [row[:count] for row, count in zip(type_positions, counts, strict=True)]
        index = self._resolve_prompt_index(prompt_index, len(texts), len(counts))
        return _Batch(
            texts, self._resolve_readings(reading, len(texts)), index, prompts, encoded, positions, counts, mask
        )

    def _resolve_readings(self, reading: str | Sequence[str] | None, texts: int) -> list[str]:
        known = self.config.readings
        readings = [reading or known[0]] * texts if reading is None or isinstance(reading, str) else list(reading)
        if len(readings) != texts or not set(readings) <= set(known):
            raise ValueError(
                f"`reading` must be one of those the model was trained for, {', '.join(map(repr, known))}, or one for "
                f"each of {texts} texts, got {reading!r}"
            )
        return readings

    def _score(
        self,
        batch: _Batch,
        text_states: list[torch.Tensor],
        type_states: list[torch.Tensor],
        definition_embeddings: torch.Tensor | None,
        labels: torch.Tensor | None,
        type_tags: torch.Tensor | None,
        num_items_in_batch: torch.Tensor | int | None,
    ) -> JPTTokenClassifierOutput:
        """The heads' scores of every text, put back where its tokens are in the batch, and the loss."""
        types = max(batch.counts)
        logits = text_states[0].new_full(
            (*batch.mask.shape, 1 + types), torch.finfo(torch.float32).min, dtype=torch.float32
        )
        sigmoid_logits = logits[..., 1:].clone()
        begin_logits = sigmoid_logits.clone() if self.config.begin_head else None
        mask = batch.mask.to(logits.device)
        loss = None
        if labels is not None:
            loss = logits.new_zeros(())
            labels = labels.to(logits.device).masked_fill(~mask, -100)
        for prompt, count in enumerate(batch.counts):
            members = [i for i, chosen in enumerate(batch.index) if chosen == prompt]
            if not members:
                continue
            definitions = None
            if self.config.type_embedding != "prompt":
                definitions = definition_embeddings[prompt, : 1 + count].to(logits.device)
            states = torch.cat([text_states[i] for i in members])
            softmax, sigmoid, begin = (
                scores if scores is None else scores.float()
                for scores in self.head(states, definitions, type_states[prompt])
            )
            rows = torch.cat([torch.full((len(batch.texts[i]),), i, device=mask.device) for i in members])
            columns = torch.cat([mask[i].nonzero()[:, 0] for i in members])
            if loss is not None:
                marks = None if type_tags is None else type_tags.to(mask.device)[rows, columns, :count]
                loss = loss + classification_loss(softmax, sigmoid, begin, labels[rows, columns], marks, self.config)
            logits[rows, columns, : 1 + count] = softmax
            sigmoid_logits[rows, columns, :count] = sigmoid
            if begin_logits is not None:
                begin_logits[rows, columns, :count] = begin
        if loss is not None:
            items = (labels != -100).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
            loss = loss / items
        return JPTTokenClassifierOutput(
            loss=loss, logits=logits, sigmoid_logits=sigmoid_logits, begin_logits=begin_logits
        )

    def _resolve_prompt_index(self, prompt_index: torch.Tensor | None, texts: int, prompts: int) -> list[int]:
        if prompt_index is not None:
            index = prompt_index.tolist()
        elif prompts == 1:
            index = [0] * texts
        else:
            index = list(range(texts))
        if len(index) != texts or not all(0 <= i < prompts for i in index):
            raise ValueError(
                f"`prompt_index` must name one of {prompts} prompts for each of {texts} texts, got {index[:10]}"
            )
        return index

    def _check_definitions(self, definition_embeddings: torch.Tensor | None, counts: list[int]) -> None:
        if definition_embeddings is None:
            raise ValueError(
                "`definition_embeddings` must be given: this model matches tokens with embedded definitions"
            )
        prompts, types, size = definition_embeddings.shape
        if prompts != len(counts) or types < 1 + max(counts) or size != self.config.definition_encoder_size:
            raise ValueError(
                f"`definition_embeddings` must be of shape ({len(counts)}, {1 + max(counts)}, "
                f"{self.config.definition_encoder_size}): prompts, O and types, size of the encoder; got "
                f"{tuple(definition_embeddings.shape)}"
            )


JPTForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")

__all__ = ["EncodedPrompt", "JPTForTokenClassification", "JPTTokenClassifierOutput"]
