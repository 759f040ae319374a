"""The optimiser of a recipe: rates by parameter names, biases and norm parameters without decay, what is frozen."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from segfield.errors import SettingError, did_you_mean
from segfield.models.classifier import Classifier
from segfield.training.recipe import Recipe

NORMS = (nn.modules.batchnorm._NormBase,)


def build_optimiser(classifier: Classifier, recipe: Recipe, fused: bool = True) -> Optimizer:
    """SGD or AdamW with a rate for every group of parameters, and no weight decay on biases and norm parameters.

    A parameter's rate is `learning_rate` × `encoder_rate` where it is the pretrained encoder's × every factor of `rates` whose
    pattern fits its name. Those at 0, and with `freeze_norm` those of batch norm, need no gradient from here on.
    Every group carries `highest_rate`, which the loop multiplies by the schedule's factor.
    A fused one undoes float16's scaling of gradients within its step, so that they cannot be clipped before.

    Raises:
        SettingError: if a pattern of `rates` fits no parameter, or nothing is left to train.
    """
    factors = rate_factors(classifier, recipe.rates)
    encoder = {id(parameter) for parameter in classifier.encoder_parameters()}
    frozen = {id(p) for m in norm_layers(classifier) for p in m.parameters()} if recipe.freeze_norm else set()
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in classifier.named_parameters():
        factor = factors[name] * (recipe.encoder_rate if id(parameter) in encoder else 1.0)
        if factor == 0 or id(parameter) in frozen:
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise SettingError("rates, encoder_rate and freeze_norm leave nothing to train; raise one of them above 0")
    arguments = []
    for (factor, decays), parameters in sorted(groups.items(), key=lambda item: item[0]):
        rate = recipe.learning_rate * factor
        decay = recipe.weight_decay if decays else 0.0
        arguments.append({"params": parameters, "lr": rate, "highest_rate": rate, "weight_decay": decay})
    if recipe.optimiser == "sgd":
        return SGD(arguments, lr=recipe.learning_rate, momentum=recipe.momentum, fused=fused)
    return AdamW(arguments, lr=recipe.learning_rate, fused=fused)


def rate_factors(network: nn.Module, rates: Mapping[str, float]) -> dict[str, float]:
    """For each parameter's name, the product of the factors whose pattern (`*` stands for anything) fits it.

    Raises:
        SettingError: if a pattern fits none, with names that are there.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in rates:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            parts = sorted({name.split(".")[0] + ".*" for name in names})
            raise SettingError(f"rates: no parameter is named '{pattern}'; {did_you_mean(pattern, [*parts, '*.bias'])}")
    return {
        name: math.prod(factor for pattern, factor in rates.items() if fnmatch.fnmatchcase(name, pattern))
        for name in names
    }


def norm_layers(network: nn.Module) -> list[nn.Module]:
    """The batch norm layers of a network."""
    return [module for module in network.modules() if isinstance(module, NORMS)]


def train_but_frozen_norm(network: nn.Module, freeze_norm: bool) -> None:
    """Training mode, in which batch norm that is frozen, as a whole or by its parameters' rates, keeps its statistics."""
    network.train()
    for module in norm_layers(network):
        parameters = list(module.parameters())
        if freeze_norm or (parameters and not any(parameter.requires_grad for parameter in parameters)):
            module.eval()
