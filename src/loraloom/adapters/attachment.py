"""The live join of networks and adapters: put on without touching a weight, off without a trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, final, get_args

from torch import nn
from torch.utils.hooks import RemovableHandle

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import Law
from loraloom.adapters.fitting import Fitted, put_on
from loraloom.adapters.piece import Piece
from loraloom.adapters.prefixes import check_prefixes, longest_prefix
from loraloom.adapters.span import Place
from loraloom.adapters.strength import Route, Strength, routes
from loraloom.adapters.worn import WornLayer
from loraloom.errors import UsageError


@final
class Attachment:
    """Adapters worn by networks: W_live = W + sum of s_i * delta_i(W), at every site.

    The networks' weights are never written: each layer that an adapter touches gets a forward
    hook that adds the adapters' changes to its output. Closing the attachment (or leaving it as
    a context manager) removes the hooks, which restores the networks bit for bit. Attachments of
    one network add up, and are closed in any order.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        adapters: Mapping[str, Adapter],
        strengths: Mapping[str, Strength] | Strength = 1.0,
        *,
        law: Law = "linear",
        trainable: bool = False,
    ) -> None:
        law = find_law(law)
        self._networks = dict(networks)
        self._adapters = dict(adapters)
        self._worn: dict[str, tuple[Fitted, ...]] = {
            name: tuple(
                put_on(networks, name, place, delta, law, trainable=trainable)
                for place, delta in adapter.deltas.items()
            )
            for name, adapter in adapters.items()
        }
        self._routes: dict[str, Mapping[str, Route | None]] = {}
        self._hooks: list[RemovableHandle] = []
        self.set_strengths(strengths)
        layers: dict[nn.Module, list[Piece]] = {}
        for piece in (piece for name in self._worn for piece in self._pieces(name)):
            layers.setdefault(piece.target.layer, []).append(piece)
        for layer, pieces in layers.items():
            hook = WornLayer(pieces, self._routes)
            self._hooks.append(layer.register_forward_hook(hook, with_kwargs=True))

    def set_strengths(self, strengths: Mapping[str, Strength] | Strength) -> None:
        """Set the strengths of all adapters; those that a mapping leaves out are at 0.

        A strength is a number, a tensor with one number per row of the batch, or a mapping from
        path prefix (`unet`, `unet.up_blocks.1`) to either, of which the longest that fits a site
        counts. At 0 an adapter is not evaluated at all. A prefix that is nowhere in the adapter
        or the networks is a `UsageError` that names the nearest; nothing has changed then.
        """
        if not isinstance(strengths, Mapping):
            strengths = dict.fromkeys(self._worn, strengths)
        unknown = sorted(set(strengths) - set(self._worn))
        if unknown:
            raise UsageError("attach.unknown_adapter", name=unknown[0], known=", ".join(self._worn))
        found = {name: routes(strengths.get(name, 0.0)) for name in self._worn}
        changed = [
            name
            for name, ways in found.items()
            if name not in self._routes or self._routes[name].keys() != ways.keys()
        ]
        for name in changed:
            check_prefixes(found[name], name, self._adapters[name].sites, self._networks)
        for name in changed:
            for piece in self._pieces(name):
                piece.prefix = longest_prefix(str(piece.target.site), found[name])
        self._routes.update(found)

    @property
    def names(self) -> tuple[str, ...]:
        """The attached adapters' names."""
        return tuple(self._worn)

    def sites(self, name: str) -> tuple[Place, ...]:
        """Return where one adapter is worn."""
        return tuple(worn.place for worn in self._worn[name])

    def parameters(self, name: str, part: str | None = None) -> Iterator[nn.Parameter]:
        """Yield one adapter's tensors in the order of its sites, of one network or of all."""
        for worn in self._worn[name]:
            if part is None or worn.place.part == part:
                yield from worn.delta.parameters()

    def adapter(self, name: str) -> Adapter:
        """Return a detached copy of one adapter as it is now."""
        given = self._adapters[name]
        copies = {worn.place: worn.copied() for worn in self._worn[name]}
        return Adapter(deltas=copies, card=given.card, embeddings=given.embeddings)

    def close(self) -> None:
        """Take all adapters off. Closing twice does nothing."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pieces(self, name: str) -> Iterator[Piece]:
        for worn in self._worn[name]:
            yield from worn.pieces


def find_law(name: str) -> Law:
    """Return the law of strength of that name; a `UsageError` lists those that there are."""
    laws: tuple[Law, ...] = get_args(Law)
    for law in laws:
        if law == name:
            return law
    raise UsageError("attach.unknown_law", law=name, known=", ".join(laws))


def attach(
    networks: Mapping[str, nn.Module],
    adapters: Mapping[str, Adapter] | Sequence[Adapter] | Adapter,
    strengths: Mapping[str, Strength] | Strength = 1.0,
    *,
    law: Law = "linear",
    trainable: bool = False,
) -> Attachment:
    """Put adapters on networks; use the result as a context manager or call `close`.

    `networks` maps part names to modules: `{"unet": unet, "text_encoder": encoder}`. Adapters
    that are not given by name take the name on their card. An adapter that fits no site, or any
    site whose layer is missing or has another shape, is a `ModelError` naming the site.

    `law` says what a strength means. Ours, `linear`, is W + s * delta(W) for every kind. The
    others are what PEFT or LyCORIS make of a strength for kinds that are not linear in it (DoRA,
    rotations); for the rest they are the same. Under each, an adapter at 0 is off.

    `torch.compile` sees the adapters and their strengths if it runs a network first after they
    were put on. Code that it has compiled before does not look for them: compile it again.
    """
    if isinstance(adapters, Adapter):
        adapters = [adapters]
    if not isinstance(adapters, Mapping):
        named = {each.card.name or f"adapter{n}": each for n, each in enumerate(adapters)}
        if len(named) < len(adapters):
            raise UsageError(
                "attach.same_name", names=", ".join(each.card.name for each in adapters)
            )
        adapters = named
    return Attachment(networks, adapters, strengths, law=law, trainable=trainable)
