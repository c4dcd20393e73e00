"""Evaluation during training: the pipeline's own F1 on development sets, in the Trainer's log and as curves."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainingArguments

from ...atomic_jpt import atomic_file
from ..data.records import Record
from ..evaluation.evaluate import load_dataset, predict, score_predictions
from ..evaluation.scoring import Scores
from ..files.opening import data_name
from .recipe import Recipe

CURVES = "curves.png"


def load_development_sets(recipe: Recipe) -> dict[str, list[Record]]:
    """
    The records of `recipe.evaluation`, by the name of their set: `FOLDER-FILE`.

    Raises:
        ValueError: If a file is missing or holds nothing to evaluate on, or two sets have one name.
    """
    sets: dict[str, list[Record]] = {}
    for entry in recipe.evaluation.data:
        path = recipe.find(entry.path)
        if not path.is_file():
            raise ValueError(f"evaluation: data: no such file: {path}")
        name = f"{path.absolute().parent.name}-{data_name(path)}"
        if name in sets:
            raise ValueError(f"evaluation: data: two sets are named {name!r}")
        plan = recipe.evaluation
        sets[name] = load_dataset(path, limit=plan.limit, ignore_labels=plan.ignore_labels, skip_bad=recipe.skip_bad)
    return sets


class DevelopmentScorer:
    """
    Scores a model during training, as `Trainer.compute_metrics`: the Trainer logs the result with its evaluation loss,
    writes it to TensorBoard and chooses the best checkpoint by it.

    Every process reads its share of the texts. Adapters stay unmerged, and the model returns to the mode it was in.

    Args:
        sets (`dict[str, list[Record]]`): From [`load_development_sets`].
        watched (`Sequence[str]`): Names of sets that are left out of the means.
        make_pipeline (`Callable[[], JPTPipeline]`):
            Creates a pipeline around the current model. A new one for each evaluation, because the prompts that a
            pipeline keeps are outdated once the weights have changed.
        arguments (`TrainingArguments`): For the process's share and the precision.
    """

    def __init__(
        self,
        sets: dict[str, list[Record]],
        watched: Sequence[str],
        make_pipeline: Callable,
        arguments: TrainingArguments,
    ):
        self.sets = sets
        self.watched = set(watched)
        self.make_pipeline = make_pipeline
        self.arguments = arguments

    def __call__(self, _=None) -> dict[str, float]:
        """
        Returns:
            `dict[str, float]`: Strict micro F1 of each set (`f1_SET`), and means over the sets that count: `f1`, and
            where it is lost (`detection`, `typing`, `boundaries`; see `scoring.ErrorSplit`). All from 0 to 1.
        """
        pipeline = self.make_pipeline()
        scores = {name: self._score(pipeline, records) for name, records in self.sets.items()}
        counted = [each for name, each in scores.items() if name not in self.watched] or list(scores.values())
        values = {f"f1_{name}": each.strict.f1 for name, each in scores.items()}
        for name, read in _MEANS.items():
            values[name] = sum(map(read, counted)) / len(counted)
        return values

    def _score(self, pipeline, records: list[Record]) -> Scores:
        arguments = self.arguments
        share = records[arguments.process_index :: arguments.world_size]
        dtype = torch.float16 if arguments.fp16 else torch.bfloat16
        with torch.autocast(arguments.device.type, dtype, enabled=arguments.bf16 or arguments.fp16):
            found = predict(pipeline, share)
        numbered = [(arguments.process_index + i * arguments.world_size, spans) for i, spans in enumerate(found)]
        return score_predictions(records, [spans for _, spans in sorted(gather_object(numbered), key=lambda x: x[0])])


_MEANS: dict[str, Callable[[Scores], float]] = {
    "f1": lambda scores: scores.strict.f1,
    "detection": lambda scores: scores.errors.detection.f1,
    "typing": lambda scores: scores.errors.typing_accuracy,
    "boundaries": lambda scores: scores.errors.boundary_accuracy,
}


def discard_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """For `Trainer.preprocess_logits_for_metrics`: the pipeline does the scoring, and logits would pile up."""
    return labels.new_zeros(len(labels), 1)


class CurvesCallback(TrainerCallback):
    """
    Draws the losses and F1 of the Trainer's log, which a resumed run continues, to `curves.png` in the run's folder at
    every evaluation and checkpoint, where matplotlib is installed. Also evaluates the final model.
    """

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= state.max_steps and args.eval_strategy != "no":
            control.should_evaluate = True

    def on_evaluate(self, args, state, control, **kwargs):
        self._draw(args, state)

    def on_save(self, args, state, control, **kwargs):
        self._draw(args, state)

    def on_train_end(self, args, state, control, **kwargs):
        self._draw(args, state)

    def _draw(self, args: TrainingArguments, state) -> None:
        if state.is_world_process_zero and importlib.util.find_spec("matplotlib"):
            draw_curves(state.log_history, Path(args.output_dir) / CURVES)


def draw_curves(history: Sequence[dict], path: Path) -> None:
    """
    Draws a Trainer's `log_history`: training and evaluation loss and, if there are any, the F1 of every set and their
    mean. The file is replaced atomically.
    """
    from matplotlib.figure import Figure

    scores = sorted({key for entry in history for key in entry if key.startswith("eval_f1_")})
    figure = Figure(figsize=(11 if scores else 6, 4), layout="constrained")
    panels = figure.subplots(1, 2 if scores else 1, squeeze=False, sharex=True)[0]
    for key, label in (("loss", "training"), ("eval_loss", "development sets")):
        _draw_line(panels[0], history, key, label, marker="o" if key == "eval_loss" else None)
    panels[0].set(xlabel="update", ylabel="loss per token", ylim=(0, None))
    for key in scores:
        _draw_line(panels[1], history, key, key.removeprefix("eval_f1_"), marker=".", linewidth=1)
    if scores:
        if len(scores) > 1:
            _draw_line(panels[1], history, "eval_f1", "mean", marker="o", linewidth=2.5, color="black")
        panels[1].set(xlabel="update", ylabel="strict micro F1", ylim=(0, 1))
    for panel in panels:
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_line(panel, history: Sequence[dict], key: str, label: str, **style) -> None:
    points = {entry["step"]: entry[key] for entry in history if key in entry}
    if points:
        panel.plot(list(points), list(points.values()), label=label, **style)
