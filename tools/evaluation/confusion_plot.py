"""A confusion matrix as a picture in SVG (Figure 8 of the paper)."""

from html import escape

from .errors import ConfusionMatrix

CELL = 30
MAX_LABEL = 26  # characters
CHARACTER = 7  # maximum width, at the font size of labels


def confusion_svg(matrix: ConfusionMatrix) -> str:
    """
    Draws the matrix: the shade of a cell is its share of the row's gold mentions. Classes (`right`, `confused`, `grid`,
    `count`) leave colours and fonts to the style sheet around it; without one the picture is plain but readable.
    """
    labels = [_shortened(label) for label in matrix.labels]
    margin = CHARACTER * max(map(len, labels)) + 12
    size = CELL * len(labels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{margin + size + 8}" height="{margin + size + 8}" role="img" '
        'aria-label="Confusion matrix: gold types in rows, predicted types in columns">'
    ]
    for place, (label, full) in enumerate(zip(labels, matrix.labels)):
        middle = margin + CELL * place + CELL // 2
        title = f"<title>{escape(full)}</title>"
        parts.append(f'<text x="{margin - 6}" y="{middle + 4}" text-anchor="end">{title}{escape(label)}</text>')
        parts.append(
            f'<text transform="translate({middle + 4} {margin - 6}) rotate(-90)">{title}{escape(label)}</text>'
        )
    for row, counts in enumerate(matrix.counts.tolist()):
        for column, count in enumerate(counts):
            if count:
                parts.append(_cell(matrix, row, column, count, sum(counts), margin))
    for step in range(len(labels) + 1):
        place = margin + CELL * step
        parts.append(f'<path class="grid" d="M{margin} {place}H{margin + size}M{place} {margin}V{margin + size}"/>')
    return "".join([*parts, "</svg>"])


def _cell(matrix: ConfusionMatrix, row: int, column: int, count: int, total: int, margin: int) -> str:
    x, y = margin + CELL * column, margin + CELL * row
    gold, predicted = escape(matrix.labels[row]), escape(matrix.labels[column])
    kind = "right" if row == column else "confused"
    return (
        f"<g><title>gold {gold}, predicted {predicted}: {count} of {total}</title>"
        f'<rect class="{kind}" x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill-opacity="{0.12 + 0.6 * count / total:.2f}"/>'
        f'<text class="count" x="{x + CELL // 2}" y="{y + CELL // 2 + 4}">{count}</text></g>'
    )


def _shortened(label: str) -> str:
    return label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 1] + "…"
