"""Ragged texts behind two prompts as a batch, and scores compared text by text."""

import torch


def random_ids(length: int, seed: int) -> torch.Tensor:
    return torch.randint(10, 320, (length,), generator=torch.Generator().manual_seed(seed))


class Case:
    """Five ragged texts behind two prompts with three types and one, and labels for them."""

    prompts = [random_ids(14, 1), random_ids(9, 2)]
    positions = [torch.tensor([4, 8, 12]), torch.tensor([6])]
    definitions = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(3))
    texts = [random_ids(length, 40 + length) for length in (7, 1, 12, 3, 5)]
    index = [0, 1, 1, 0, 0]
    labels = [
        torch.tensor([0, 1, 1, -100, 2, 0, 3]),
        torch.tensor([1]),
        torch.tensor([0, 0, 1, 1, 0, -100, -100, 0, 0, 0, 1, 0]),
        torch.tensor([2, 0, 0]),
        torch.tensor([0, 0, 0, 0, 0]),
    ]
    # 1 inside of a mention of a type, 2 where one begins: neighbours of one type, and a mention inside of another.
    type_tags = [
        torch.tensor([[0, 0, 0], [2, 0, 0], [1, 2, 0], [2, 0, 0], [0, 2, 0], [0, 0, 0], [0, 0, 2]]),
        torch.tensor([[2]]),
        torch.tensor([[0], [0], [2], [2], [0], [2], [1], [0], [0], [0], [2], [0]]),
        torch.tensor([[0, 2, 0], [0, 0, 0], [0, 0, 0]]),
        torch.zeros(5, 3, dtype=torch.long),
    ]

    def inputs(self, members=None, side="right", extra=0, labels=False, junk=0) -> dict:
        """
        The chosen texts as one batch, padded on one side ("inside": in the middle) with `extra` columns of padding
        more than needed, of the token `junk`.
        """
        members = list(range(len(self.texts))) if members is None else members
        width = max(len(self.texts[i]) for i in members) + extra
        rows = [pad(self.texts[i], width, side, junk) for i in members]
        batch = {
            "input_ids": torch.stack([row for row, _ in rows]),
            "attention_mask": torch.stack([mask for _, mask in rows]),
            "prompt_index": torch.tensor([self.index[i] for i in members]),
            "definition_embeddings": self.definitions,
        }
        if labels:
            batch["labels"] = torch.stack([pad(self.labels[i], width, side, -100)[0] for i in members])
        if labels == "per type":
            marks = torch.zeros(len(members), width, 3, dtype=torch.int8)
            for row, i, (_, mask) in zip(marks, members, rows, strict=True):
                row[mask.bool(), : self.type_tags[i].shape[1]] = self.type_tags[i].to(torch.int8)
            batch["type_tags"] = marks
        prompts = [pad(prompt, 14 + extra, "left" if side == "left" else "right", junk) for prompt in self.prompts]
        batch["prompt_input_ids"] = torch.stack([row for row, _ in prompts])
        batch["prompt_attention_mask"] = torch.stack([mask for _, mask in prompts])
        batch["type_positions"] = torch.nn.utils.rnn.pad_sequence(self.positions, batch_first=True, padding_value=-1)
        return batch


def pad(row: torch.Tensor, width: int, side: str, value: int) -> tuple[torch.Tensor, torch.Tensor]:
    gap = torch.full((width - len(row),), value)
    before = {"right": len(row), "left": 0, "inside": len(row) // 2}[side]
    filled = torch.cat([row[:before], gap, row[before:]])
    mask = torch.ones(width, dtype=torch.long)
    mask[before : before + len(gap)] = 0
    return filled, mask


CASE = Case()


def by_text(output, batch) -> list[list[torch.Tensor]]:
    """Scores of each text without padding and without the types it was not asked for."""
    rows = []
    for i, keep in enumerate(batch["attention_mask"].bool()):
        count = 3 if batch["prompt_index"][i] == 0 else 1
        scores = [output.logits[i][keep][:, : 1 + count], output.sigmoid_logits[i][keep][:, :count]]
        if output.begin_logits is not None:
            scores.append(output.begin_logits[i][keep][:, :count])
        rows.append(scores)
    return rows


def assert_same(found, expected, tolerance=1e-4):
    """Float noise grows with the numbers that are added up, so the tolerance follows the largest score."""
    for text, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert len(one) == len(other)
        for head, scores, right in zip(("softmax", "sigmoid", "begin"), one, other):
            assert scores.shape == right.shape
            difference = float((scores - right).abs().max()) / max(1.0, float(right.abs().max()))
            assert difference < tolerance, f"text {text}, {head} head: off by {difference} of the largest score"
