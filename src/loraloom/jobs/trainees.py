"""From a plan to adapters in training: the one place where options become objects."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from loraloom.adapters.adapter import Adapter, Card
from loraloom.adapters.attachment import Attachment
from loraloom.data.caption import compose
from loraloom.data.example import Example
from loraloom.data.options import DataOptions
from loraloom.data.updates import Update, Updates
from loraloom.jobs.adapter_plan import AdapterPlan
from loraloom.jobs.latents import Latents
from loraloom.jobs.recipe import AdapterOptions
from loraloom.jobs.seeing import caption_rules
from loraloom.models.model import AbstractModel
from loraloom.training.feed import Compose, ExampleFeed, Streams
from loraloom.training.seeds import stream
from loraloom.training.targets import Ranks, fresh_adapter
from loraloom.training.text_reading import TextReading
from loraloom.training.text_states import TextStateCache
from loraloom.training.trainee import Trainee, Tuning


def new_adapter(
    model: AbstractModel,
    plan: AdapterPlan,
    base_hash: str,
    dtype: torch.dtype = torch.float32,
) -> Adapter:
    """Return the untrained adapter of a plan."""
    options = plan.options
    network = options.network
    parts = dict(model.networks)
    if network.network_train_unet_only:
        parts = {part: net for part, net in parts.items() if not part.startswith("text_encoder")}
    if network.network_train_text_encoder_only:
        parts = {part: net for part, net in parts.items() if part.startswith("text_encoder")}
    ranks = Ranks(
        linear=network.network_dim,
        linear_alpha=network.alpha,
        convolution=network.conv_dim,
        convolution_alpha=network.convolution_alpha or 1.0,
    )
    card = Card(
        family=model.family,
        name=options.name,
        base=model.name,
        base_hash=base_hash,
        triggers=(options.data.trigger,) if options.data.trigger else (),
        recipe=_told(plan),
    )
    weights = stream(options.training.seed, options.name, "weights")
    return fresh_adapter(parts, ranks, card, weights, dtype)


def _told(plan: AdapterPlan) -> Mapping[str, Any]:
    """Return the options of an adapter by key, those included that the base has decided on."""
    told: dict[str, Any] = {}
    for name, value in plan.options.model_dump(mode="json", exclude_none=True).items():
        told |= value if isinstance(value, dict) else {name: value}
    return told | {
        "resolution": str(plan.bucketing.resolution),  # "(512, 512)", as kohya's readers expect
        "min_bucket_reso": plan.bucketing.smallest,
        "max_bucket_reso": plan.bucketing.largest,
        "bucket_reso_steps": plan.bucketing.step,
        "network_alpha": plan.options.network.alpha,
        "max_train_steps": plan.steps,
        "max_train_epochs": -(-plan.steps // plan.steps_per_epoch),
    }


def new_trainee(
    model: AbstractModel, attachment: Attachment, plan: AdapterPlan, latents: Latents
) -> Trainee:
    """Return an adapter ready to train, all its random streams seeded by its seed and name."""
    options = plan.options
    return Trainee(
        options.name,
        attachment,
        _tuning(plan, attachment),
        _feed(model, plan, latents),
        stream(options.training.seed, options.name, "noise"),
        _text_states(model, attachment, options),
    )


def _tuning(plan: AdapterPlan, attachment: Attachment) -> Tuning:
    options, training = plan.options.optimizer, plan.options.training
    parts = dict.fromkeys(site.part for site in attachment.sites(plan.options.name))
    return Tuning(
        steps=plan.steps,
        learning_rates={part: options.learning_rate_of(part) for part in parts},
        schedule=options.lr_scheduler,
        warmup=options.lr_warmup_steps,
        optimizer=options.optimizer_type.lower(),
        optimizer_arguments={
            "betas": (options.adam_beta1, options.adam_beta2),
            "eps": options.adam_epsilon,
            "weight_decay": options.weight_decay,
        },
        max_gradient_norm=options.max_grad_norm,
        noise_offset=training.noise_offset,
        min_snr_gamma=training.min_snr_gamma,
        reading=_reading(plan.options),
    )


def _feed(model: AbstractModel, plan: AdapterPlan, latents: Latents) -> ExampleFeed:
    options = plan.options
    seed = f"{options.training.seed}/{options.name}"
    updates = Updates(
        plan.scan.examples,
        [shot.target for shot in latents.shots],
        batch_size=options.training.train_batch_size,
        accumulation=options.training.gradient_accumulation_steps,
        generator=random.Random(f"{seed}/order"),
        regularisation_generator=random.Random(f"{seed}/regularisation"),
    )
    return ExampleFeed(
        plan.scan.examples,
        latents.shots,
        latents.cache,
        updates,
        _composer(options.data, plan.steps),
        streams=Streams(
            words=random.Random(f"{seed}/words"),
            views=random.Random(f"{seed}/views"),
            draws=stream(options.training.seed, options.name, "latents"),
        ),
        prior_loss_weight=options.training.prior_loss_weight,
        place=partial(_placed, model),
    )


def _placed(model: AbstractModel, latents: Tensor) -> Tensor:
    return latents.to(model.device, torch.promote_types(model.dtype, torch.float32))


def _composer(data: DataOptions, steps: int) -> Compose:
    def words(example: Example, drawn: Update, generator: random.Random) -> str:
        return compose(
            example.caption,
            caption_rules(example, data, steps),
            generator,
            further_lines=example.further_lines,
            epoch=drawn.epoch,
            step=drawn.step,
        )

    return words


def _text_states(
    model: AbstractModel, attachment: Attachment, options: AdapterOptions
) -> TextStateCache | None:
    """Return the text states of captions; None if the adapter changes them as it learns."""
    parts = {site.part for site in attachment.sites(options.name)}
    if any(part.startswith("text_encoder") for part in parts):
        return None
    return TextStateCache(partial(_reading(options).encode, model))


def _reading(options: AdapterOptions) -> TextReading:
    training = options.training
    return TextReading(clip_skip=training.clip_skip, weighted=training.weighted_captions)
