"""The report of `jpt-ner types improve`: what each definition misses, what was tried and chosen, and what that gains."""

from ..tables import markdown_table, percent
from .improving import Improvement, TypeResult
from .matching import BOTH, BOUNDARY, MISSED, SPURIOUS, TYPE


def improvement_report(result: Improvement) -> str:
    """The whole report in Markdown."""
    choosing, judging = result.texts
    parts = [f"{choosing} texts to choose definitions on, {judging} to judge them.", _losses(result.types)]
    parts += [_type(each) for each in result.types if each.diagnosis.findings or each.trials]
    parts.append(_verdict(result))
    return "\n\n".join([*parts, *result.notes])


def _losses(types: list[TypeResult]) -> str:
    rows = []
    for each in types:
        errors = each.diagnosis.errors
        kinds = [errors.kinds[kind] for kind in (MISSED, TYPE, BOUNDARY, BOTH, SPURIOUS)]
        to = ", ".join(f"{label} ({count})" for label, count in errors.taken_for.most_common(3))
        rows.append([each.diagnosis.entity_type.name, errors.gold, percent(each.f1), *kinds, to])
    head = ["type", "mentions", "F1", "missed", "wrong type", "wrong boundaries", "both", "spurious", "most taken for"]
    return markdown_table(head, rows)


def _type(each: TypeResult) -> str:
    lines = [f"### {each.diagnosis.entity_type.name}", *(f"- {finding}" for finding in each.diagnosis.findings)]
    for trial in each.trials:
        verdict = "chosen" if trial.chosen else "tried"
        lines.append(
            f"- {verdict} ({trial.proposal.reason}): F1 of the type {percent(trial.type_f1)}, of all {percent(trial.f1)}: "
            f"{trial.proposal.entity_type.description}"
        )
    return "\n".join(lines)


def _verdict(result: Improvement) -> str:
    judged = result.judgement
    if judged is None:
        return "Nothing that was tried is better than the present definitions."
    low, high = judged.interval
    before, after = judged.f1
    change = (
        f"On the texts that had no part in choosing: F1 {percent(before)} before, {percent(after)} after (change "
        f"{100 * (after - before):+.1f}, 95 % interval {100 * low:+.1f} to {100 * high:+.1f})."
    )
    changed = [each.diagnosis.entity_type.name for each in result.types if any(trial.chosen for trial in each.trials)]
    rows = [[name, percent(judged.before[name]), percent(judged.after[name])] for name in changed]
    table = markdown_table(["changed type", "F1 before", "F1 after"], rows, align_right=True)
    if judged.confirmed:
        return f"{change}\n\n{table}"
    return f"{change} So the definitions stay as they are; with more labelled texts the result would be clearer.\n\n{table}"
