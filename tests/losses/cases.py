"""Inputs and references the loss tests share: random batches, and softmax in float64 numpy."""

from __future__ import annotations

import numpy as np
import torch

IGNORED = 255


def batch(classes=5, size=(2, 7, 9), seed=0, ignored=0.3, dtype=torch.float32, spread=3.0):
    """(logits (B, K, H, W) that want gradients, labels (B, H, W) uint8); a share of the pixels is ignored."""
    generator = torch.Generator().manual_seed(seed)
    images, height, width = size
    logits = (torch.randn(images, classes, height, width, generator=generator) * spread).to(dtype)
    labels = torch.randint(0, classes, size, generator=generator).to(torch.uint8)
    labels[torch.rand(size, generator=generator) < ignored] = IGNORED
    return logits.requires_grad_(), labels


def flat_probabilities(logits, labels):
    """Valid pixels alone, in float64 numpy: probabilities (N, K) and labels (N,)."""
    scores = logits.detach().double().permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).numpy()
    known = labels.reshape(-1).long().numpy()
    scores, known = scores[known != IGNORED], known[known != IGNORED]
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True), known
