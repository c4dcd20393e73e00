"""The pipeline inside other people's tools: a file and an extra for each; nothing else of this package imports them."""
