"""Mean field of a batch of images with gradients: to the scores, to what classes say to each other, and to the features.

The iteration is unrolled (Krähenbühl & Koltun 2013; Zheng et al. 2015, CRF-RNN) and differentiated by hand, which needs no
more than a few of its maps, whatever the number of iterations, and one transposed filter a kernel and iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from segfield.crf.filters.filter import POWERS, Filter, Normalization
from segfield.crf.image_unrolled import KEPT_MAPS


class BatchKernel:
    """A normalised kernel on a batch: y = n^−p K (n^−q v), n = K·1 + 1e-20.

    Args:
        filter: K·v and Kᵀ·v on (B, N, C) tensors.
        kind: which p and q, see `filters.filter.Normalized`.
        like: a tensor of the device and precision of the values, (B, N, C).
    """

    def __init__(self, filter: Filter, kind: Normalization, like: Tensor) -> None:  # noqa: A002  the contract's word
        self.filter = filter
        self.p, self.q = POWERS[kind]
        self.sums = like.new_ones(*like.shape[:-1], 1)
        if kind != "none":
            self.sums = filter(self.sums) + 1e-20
        self.after = self.sums**-self.p if self.p else None
        self.before = self.sums**-self.q if self.q else None

    def __call__(self, values: Tensor) -> Tensor:
        return _scaled(self.filter(_scaled(values, self.before)), self.after)

    def transposed(self, values: Tensor) -> Tensor:
        return _scaled(self.filter.transposed(_scaled(values, self.after)), self.before)

    def feature_gradient(self, features: Tensor, values: Tensor, gradient: Tensor) -> Tensor:
        """∂L/∂f of the kernel's features, where `gradient` is ∂L/∂y at y = self(values).

        The moment formula: K_ij = exp(−½|f_i − f_j|²) moves with f_i by K_ij (f_j − f_i), so the gradient is made of the
        same filter on values times features. It is as exact as the filter is. n moves with the features as well: it is one
        more channel of ones.

        Args:
            features: (B, N, D).
            values, gradient: (B, N, C).

        Returns:
            (B, N, D).
        """
        result = self(values)
        weighted = (gradient * result).sum(-1, keepdim=True) * self.p
        if self.q:
            weighted = weighted + (values * self.transposed(gradient)).sum(-1, keepdim=True) * self.q
        sent = torch.cat([_scaled(values, self.before), torch.ones_like(self.sums)], dim=-1)
        wanted = torch.cat([_scaled(gradient, self.after), -weighted / self.sums], dim=-1)
        if not (self.p or self.q):
            sent, wanted = sent[..., :-1], wanted[..., :-1]
        centred = features - features.mean(dim=-2, keepdim=True)
        own = (wanted * self.filter(sent)).sum(-1) + (sent * self.filter.transposed(wanted)).sum(-1)
        found = torch.empty_like(features)
        for d in range(features.shape[-1]):
            feature = centred[..., d : d + 1]
            of_others = (wanted * self.filter(sent * feature)).sum(-1)
            of_others = of_others + (sent * self.filter.transposed(wanted * feature)).sum(-1)
            found[..., d] = of_others - centred[..., d] * own
        return found


@dataclass(frozen=True)
class Messages:
    """One pairwise term of a batch.

    Args:
        kernel: the normalised kernel.
        table: (S, K, K), entry (l, m) of C in the energy of class l, Σ_m C_lm (K̂ Q)_m; S is 1, or the number of iterations.
        features: (B, N, D) the kernel was built from; only their gradient is of interest here.
    """

    kernel: BatchKernel
    table: Tensor
    features: Tensor | None = None

    def at(self, iteration: int) -> Tensor:
        """(K, K) of one iteration."""
        return self.table[iteration if len(self.table) > 1 else 0]


def unrolled_mean_field(scores: Tensor, terms: Sequence[Messages], iterations: int) -> Tensor:
    """X of the last iteration: X ← U − Σ_k C_k K̂_k softmax(X), from X = U. Its softmax is mean field's Q.

    Gradients go to the scores, to the tables and, where they require them, to the features.

    Args:
        scores: U (B, N, K), logits or log probabilities.
        terms: the pairwise terms.
        iterations: how many, 0 or more.

    Returns:
        (B, N, K).
    """
    tables = [term.table for term in terms]
    features = [term.features for term in terms]
    kernels = [term.kernel for term in terms]
    found: Tensor = _Unrolled.apply(scores, kernels, iterations, *tables, *features)
    return found


class _Unrolled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, kernels: list[BatchKernel], iterations: int, *given: Tensor | None) -> Tensor:
        terms = _terms(kernels, given)
        ctx.kernels, ctx.iterations = kernels, iterations
        ctx.spacing = max(1, -(-iterations // KEPT_MAPS))
        kept, x = [], scores
        for iteration in range(iterations):
            q = x.softmax(dim=-1)
            if iteration % ctx.spacing == 0:
                kept.append(q)
            x = _update(scores, q, terms, iteration)
        ctx.save_for_backward(scores, *given, *kept)
        return x if iterations else scores.clone()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scores, *rest = ctx.saved_tensors
        given, kept = rest[: 2 * len(ctx.kernels)], rest[2 * len(ctx.kernels) :]
        terms = _terms(ctx.kernels, given)
        tables = [torch.zeros_like(term.table) for term in terms]
        wants_features = ctx.needs_input_grad[3 + len(terms) :]
        features: list[Tensor | None] = [
            torch.zeros_like(term.features) if wanted and term.features is not None else None
            for term, wanted in zip(terms, wants_features)
        ]
        to_scores = gradient.clone()
        for iteration in reversed(range(ctx.iterations)):
            q = _probabilities(scores, terms, kept, ctx.spacing, iteration)
            to_q = torch.zeros_like(q)
            for number, term in enumerate(terms):
                table = term.at(iteration)
                spread = term.kernel.transposed(gradient)
                place = iteration if len(term.table) > 1 else 0
                tables[number][place] -= torch.einsum("bnl,bnm->lm", spread, q)
                to_q -= spread @ table
                total = features[number]
                if total is not None and term.features is not None:
                    total += term.kernel.feature_gradient(term.features, q, -(gradient @ table))
            gradient = q * (to_q - (q * to_q).sum(dim=-1, keepdim=True))
            to_scores += gradient
        return to_scores, None, None, *tables, *features


def _terms(kernels: Sequence[BatchKernel], given: Sequence[Tensor | None]) -> list[Messages]:
    tables, features = given[: len(kernels)], given[len(kernels) :]
    return [
        Messages(kernel, table, own)
        for kernel, table, own in zip(kernels, tables, features, strict=True)
        if table is not None
    ]


def _update(scores: Tensor, q: Tensor, terms: Sequence[Messages], iteration: int) -> Tensor:
    """U − Σ_k C_k K̂_k q."""
    x = scores
    for term in terms:
        x = x - term.kernel(q) @ term.at(iteration).mT
    return x


def _probabilities(
    scores: Tensor, terms: Sequence[Messages], kept: Sequence[Tensor], spacing: int, iteration: int
) -> Tensor:
    """softmax(X) before an iteration, from the last one kept."""
    number = iteration // spacing
    q = kept[number]
    for earlier in range(number * spacing, iteration):
        q = _update(scores, q, terms, earlier).softmax(dim=-1)
    return q


def _scaled(values: Tensor, factor: Tensor | None) -> Tensor:
    return values if factor is None else values * factor
