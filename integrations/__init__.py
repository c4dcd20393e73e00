"""The pipeline in other tools: one file and one extra for each; no other part of the package imports them."""
