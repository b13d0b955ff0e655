"""From a plan to adapters in training: the one place where options become objects."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch

from loraloom.adapters.adapter import Adapter, Card
from loraloom.adapters.attachment import Attachment
from loraloom.data.cache import LatentCache
from loraloom.data.caption import compose
from loraloom.data.example import Example
from loraloom.data.options import DataOptions
from loraloom.data.order import Order
from loraloom.events import Advanced, Event, PhaseStarted
from loraloom.jobs.plan import AdapterPlan
from loraloom.jobs.recipe import AdapterOptions
from loraloom.models.model import AbstractModel
from loraloom.training.feed import ExampleFeed
from loraloom.training.seeds import stream
from loraloom.training.targets import Ranks, fresh_adapter
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
        recipe=options.model_dump(mode="json", exclude_none=True),
    )
    weights = stream(options.training.seed, options.name, "weights")
    return fresh_adapter(parts, ranks, card, weights, dtype)


def cache_latents(
    model: AbstractModel, plans: Sequence[AdapterPlan]
) -> Iterator[Event | Mapping[str, LatentCache]]:
    """Encode all pictures, yielding progress and at the end the caches by adapter name."""
    total = sum(len(plan.scan.examples) for plan in plans)
    yield PhaseStarted(phase="latents", total=total)
    caches: dict[str, LatentCache] = {}
    before = 0
    for plan in plans:
        width, height = plan.options.data.resolution or (model.resolution, model.resolution)
        model.latent_shape(width, height)
        cache = caches[plan.options.name] = LatentCache()
        paths = [example.path for example in plan.scan.examples]
        for done in cache.fill(paths, width=width, height=height, encode_image=model.encode_image):
            yield Advanced(phase="latents", done=before + done)
        before += len(paths)
    yield caches


def new_trainee(
    model: AbstractModel, attachment: Attachment, plan: AdapterPlan, cache: LatentCache
) -> Trainee:
    """Return an adapter ready to train, all its random streams seeded by its seed and name."""
    options = plan.options
    return Trainee(
        options.name,
        attachment,
        _tuning(plan, attachment),
        _feed(model, plan, cache),
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
        accumulation=training.gradient_accumulation_steps,
        noise_offset=training.noise_offset,
        min_snr_gamma=training.min_snr_gamma,
        clip_skip=training.clip_skip,
    )


def _feed(model: AbstractModel, plan: AdapterPlan, cache: LatentCache) -> ExampleFeed:
    options = plan.options
    seed = f"{options.training.seed}/{options.name}"
    order = Order(
        [example.repeats for example in plan.scan.examples],
        batch_size=options.training.train_batch_size,
        generator=random.Random(f"{seed}/order"),
    )
    return ExampleFeed(
        plan.scan.examples,
        cache,
        order,
        _composer(options.data),
        words=random.Random(f"{seed}/words"),
        draws=stream(options.training.seed, options.name, "latents"),
        device=model.device,
        dtype=torch.promote_types(model.dtype, torch.float32),
    )


def _composer(data: DataOptions) -> Callable[[Example, random.Random], str]:
    def words(example: Example, generator: random.Random) -> str:
        options = data.model_copy(update=dict(example.settings))
        return compose(
            example.caption,
            trigger="" if example.regularisation else options.trigger or "",
            shuffle=options.shuffle_caption,
            keep_tokens=options.keep_tokens,
            keep_tokens_separator=options.keep_tokens_separator,
            dropout_rate=options.caption_dropout_rate,
            generator=generator,
        )

    return words


def _text_states(
    model: AbstractModel, attachment: Attachment, options: AdapterOptions
) -> TextStateCache | None:
    """Return the text states of captions; None if the adapter changes them as it learns."""
    parts = {site.part for site in attachment.sites(options.name)}
    if any(part.startswith("text_encoder") for part in parts):
        return None
    return TextStateCache(partial(model.encode_text, clip_skip=options.training.clip_skip))
