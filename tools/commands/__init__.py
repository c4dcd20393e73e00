"""Commands with many options, and what commands share. `cli` puts them together."""
