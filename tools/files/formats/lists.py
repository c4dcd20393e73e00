"""Lists in the cells of tables, as pandas writes them: Python's `['Anna', 'Berg']`, numpy's `['Anna' 'Berg']`."""

import ast
import io
import tokenize
from typing import Any


def list_in_cell(cell: str) -> list[Any] | None:
    """The texts and whole numbers of a list; `None` if the cell holds anything else."""
    cell = cell.strip()
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    values: list[Any] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(cell[1:-1].replace("\n", " ")).readline):
            if token.type == tokenize.STRING:
                values.append(ast.literal_eval(token.string))
            elif token.type == tokenize.NUMBER:
                values.append(int(token.string))
            elif token.string.strip(", "):
                return None
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None
    return values
