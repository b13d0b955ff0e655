"""Path prefixes: how strengths name a network, a block or a single weight."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from difflib import get_close_matches

from torch import nn

from loraloom.adapters.site import PARTS, Site
from loraloom.errors import UsageError


def longest_prefix(path: str, prefixes: Container[str]) -> str | None:
    """Return the longest of `prefixes` that a dotted path lies under; None if there is none.

    A prefix ends where a name ends: `up_blocks.1` is none of `up_blocks.10.conv`. The empty one
    is a prefix of every path.
    """
    while path not in prefixes:
        if not path:
            return None
        path = path.rpartition(".")[0]
    return path


def check_prefixes(
    prefixes: Iterable[str],
    adapter: str,
    sites: Iterable[Site],
    networks: Mapping[str, nn.Module],
) -> None:
    """Raise UsageError, with the nearest, for a prefix that neither adapter nor network has.

    A network's name alone always passes, though the adapter may not touch that network.
    """
    known = {"", *PARTS, *networks}
    unknown = [prefix for prefix in prefixes if prefix not in known]
    if not unknown:
        return
    for site in sites:
        path = str(site)
        while path not in known:
            known.add(path)
            path = path.rpartition(".")[0]
    for prefix in unknown:
        if prefix not in known and not _is_live(prefix, networks):
            near = get_close_matches(prefix, known, n=3, cutoff=0.5)
            raise UsageError(
                "attach.unknown_place",
                name=prefix,
                adapter=adapter,
                near=", ".join(near or sorted(networks)),
            )


def _is_live(prefix: str, networks: Mapping[str, nn.Module]) -> bool:
    """Whether a network has a module of that name, in any spelling, or a parameter."""
    site = Site.parse(prefix)
    if site.part not in networks:
        return False
    network = networks[site.part]
    for path in (*site.live_modules(), *Site(site.part, f"{site.path}.").live_modules()):
        try:
            module = network.get_submodule(path)
        except AttributeError:
            continue
        if path != site.module or hasattr(module, site.parameter):
            return True
    return False
