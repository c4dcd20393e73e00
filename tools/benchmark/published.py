"""Numbers that the papers report, for comparison with measurements. None of them was measured here."""

# Lu et al. (2024), PaDeLLM-NER: Llama2-7b (English), Baichuan2-7b (Chinese), one A100.
PADELLM_DATASETS = ("CoNLL03", "ACE05", "GENIA", "mean of 9")
PADELLM_TABLES = {
    "Table 2, latency in ms": {
        "autoreg-augmented": (992.70, 944.90, 1515.35, 995.50),
        "autoreg-structured": (753.36, 1293.87, 1266.31, 1015.12),
        "padellm (multi)": (229.74, 255.53, 316.90, 223.57),
        "padellm (batch)": (333.89, 498.50, 616.01, 378.40),
    },
    "Table 3, micro F1 of mention sets": {
        "autoreg-augmented": (93.08, 83.04, 70.16, 81.99),
        "autoreg-structured": (91.87, 82.99, 77.90, 82.76),
        "padellm (batch)": (92.52, 85.02, 77.66, 84.79),
    },
    "Table 6, micro F1 of mention sets by de-duplication and loss": {
        "probability": (92.52, 85.02, 77.66, 85.06),
        "loss ignored": (92.01, 85.18, 73.47, 83.55),
        "none": (92.44, 84.80, 77.54, 84.92),
        "reversed": (92.38, 84.44, 77.38, 84.73),
    },
    "Table 8, generated tokens per sequence": {
        "autoreg-augmented": (33.85, 37.10, 60.50, 35.54),
        "autoreg-structured": (28.36, 49.95, 49.03, 36.48),
        "padellm (batch)": (6.54, 8.29, 10.05, 4.86),
    },
}
# Figure 4: 50 wrong examples of ACE05, looked at by the authors; the third kind is errors in the gold labels.
PADELLM_ERRORS = {"count_mismatch": 0.568, "index_inaccuracy": 0.239, "rest": 0.193}

# Ewais et al. (2026), JPT, Table 11: zero-shot F1 of the untrained backbone and of JPT around it.
JPT_BACKBONE_DATASETS = ("AI", "Literature", "Music", "Politics", "Science", "mean")
JPT_BACKBONE = {
    "ye2023": (49.9, 47.9, 74.7, 56.2, 58.1, 57.4),
    "jpt": (68.3, 73.7, 84.1, 76.4, 69.5, 74.4),
}

# Ewais et al. (2026), JPT, Table 3: seconds and dollars for the 651 sentences of CrossNER-Politics, one A100, batch 1.
JPT_COST_TEXTS = 651
JPT_COST_PRICE = 5.07
JPT_COSTS = {
    "UniNER-7B": (1970.2, 2.77),
    "GNER": (5831.5, 8.21),
    "GLiNER-L": (33.3, 0.05),
    "JPT-4B": (89.7, 0.13),
    "JPT-8B": (146.2, 0.21),
}
