"""Python code, and kernels, that a language model brings along or asks for: what keeps transformers from running them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ATTENTIONS = ("eager", "sdpa", "flex_attention", "flash_attention_2")
"""Ways to compute attention that are transformers' own; any other name is that of a repository, whose code would be imported."""

EXPERTS = ("eager", "batched_mm", "grouped_mm")
"""The same of mixtures of experts."""

_LOADING = threading.RLock()


class OwnCode(Exception):  # noqa: N818 - it is told as a refusal by whoever knows the model's name
    """Transformers has come to code of a model's own, or to asking whether that may run."""


@contextmanager
def kept_out() -> Iterator[None]:
    """While it lasts, transformers neither runs code of a model's own nor asks on the terminal whether it may.

    Which of its classes comes to such code, and which files and settings lead it there, does not matter: all of them fetch the
    code, import it and ask by these functions. Loads in other threads wait.

    Raises:
        OwnCode: inside, by transformers, where it would.
    """
    from transformers import dynamic_module_utils

    def refuse(*_: object, **__: object) -> Any:
        raise OwnCode

    # With no time to answer in, it asks nothing and raises at once.
    put = {"cached_file": refuse, "get_class_in_module": refuse, "_raise_timeout_error": refuse, "TIME_OUT_REMOTE_CODE": 0}
    with _LOADING:
        own = {name: getattr(dynamic_module_utils, name) for name in put}
        try:
            vars(dynamic_module_utils).update(put)
            yield
        finally:
            vars(dynamic_module_utils).update(own)


def foreign_implementations(config: Any) -> Iterator[tuple[str, str]]:
    """Yield, with its key, what a model's configuration chooses to compute with that is not transformers' own."""
    if isinstance(config, list):
        for part in config:
            yield from foreign_implementations(part)
    elif isinstance(config, dict):
        for key, value in config.items():
            if "implementation" in key:
                known = EXPERTS if "experts" in key else ATTENTIONS
                yield from ((key, name) for name in _texts(value) if name not in known)
            elif "kernel" in key:  # there are models with kernels of their own, which are no repositories
                yield from ((key, name) for name in _texts(value) if "/" in name)
            else:
                yield from foreign_implementations(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
