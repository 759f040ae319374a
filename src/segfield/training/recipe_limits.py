"""What the settings of a recipe may be: the range of each number, the words of each choice."""

from __future__ import annotations

RANGES: tuple[tuple[str, float, float], ...] = (
    ("folds", 0, 1000),
    ("fold", 0, 999),
    ("border_weight", 0, 1000),
    ("border_sigma", 0.1, 1000),
    ("rare_crops", 0, 1),
    ("epochs", 1, 10_000_000),
    ("steps", 1, 1_000_000_000),
    ("patience", 0, 1_000_000),
    ("batch_size", 1, 65536),
    ("accumulate", 1, 65536),
    ("learning_rate", 0, 1000),
    ("encoder_rate", 0, 1000),
    ("momentum", 0, 0.99999),
    ("weight_decay", 0, 100),
    ("clip", 0, 1e9),
    ("crf_rate", 0, 1000),
    ("crf_network_loss", 0, 1000),
    ("crf_temperature", 0.01, 100),
    ("crf_folds", 0, 1000),
    ("half_size_first", 0, 0.95),
    ("power", 0, 100),
    ("step_every", 0.001, 1),
    ("step_factor", 0, 1),
    ("warmup", 0, 0.9),
    ("ema", 0, 0.99999999),
    ("devices", 1, 1024),
    ("nodes", 1, 10_000),
    ("workers", -1, 1024),
    ("threads", 0, 4096),
    ("validate_every", 1, 1_000_000),
    ("seed", 0, 2**63 - 1),
)

CHOICES: dict[str, tuple[str, ...]] = {
    "fold_draw": ("stretches", "random"),
    "keep": ("best", "last"),
    "optimiser": ("adamw", "sgd"),
    "schedule": ("poly", "cosine", "step", "constant"),
    "precision": ("auto", "32-true", "bf16-mixed", "16-mixed"),
    "hold": ("auto", "yes", "no"),
    "crf": ("none", "learn", "joint"),
    "adversary": (
        *("none", "largefov", "largefov_light", "smallfov", "smallfov_light"),
        *("stanford", "fully_convolutional"),
    ),
}
