"""Attention statistics of a Hugging Face causal model while it generates, without keeping any weight (extra ``hf``)."""

import sys
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from nilometer.arrays import Floats, Floats32
from nilometer.errors import ConfigError, IncompatibleModelError
from nilometer.signals import ATTENTION_FIELDS, AttentionStatistics

from .attention_step import first_tokens, last_query_scores, score_statistics, unfinished_rows
from .cache import position_limit

__all__ = ["AttentionCapture"]

_BASES = ("sdpa", "eager")
_CAPTURE = "_nilometer_capture"
_PREFIX = "nilometer_"
_FIRST_CAPACITY = 64
_MOST_WAITING = 2**25
"""Bytes of scores that wait to be reduced together; one step of a small model is far below."""


class AttentionCapture:
    """Collects eight numbers per layer, head and step while a causal model generates.

    Inside the ``with`` block the model attends as before (the same kernel on the same input, so the tokens are its
    own), and the scores of each step's last query are reduced on the side. Step 0 is the last token of the prompt,
    whose attention leads to the first generated token; step t is generated token t - 1. Nothing of size keys ×
    keys is kept: 32 bytes per layer, head, row and step.

    Works with ``generate`` and with any loop of forward calls that gives the whole prompt first and then one
    token at a time to a growing cache. Runs on CUDA tensors in plain torch operations.

    Parameters
    ----------
    model
        A decoder-only model whose attention goes through transformers' ``AttentionInterface``, in ``sdpa`` or
        ``eager`` mode.

    Raises
    ------
    IncompatibleModelError
        For an encoder-decoder, a model without a replaceable attention, another attention mode, or a
        cross-attention layer.
    ConfigError
        For a call that the numbers would be wrong for: several tokens after the prompt, a cache that does not grow,
        a prompt that was partly cached before, a batch that changes its size or is padded on the right, a text
        beyond the positions of the model.

    Examples
    --------
    ::

        with AttentionCapture(model) as capture:
            tokens = model.generate(**inputs, max_new_tokens=64)
        capture.statistics(row=0).entropy  # shape (steps, layers, heads)
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._base = _checked_mode(model)
        self._layers = _attention_layers(model)
        self._limit = position_limit(model)
        self._buffer: Any = None
        self._steps: dict[int, int] = {}
        self._n_prompt, self._first, self._sinks = 0, None, dict[int, Any]()
        self._waiting: dict[int, tuple[int, Any]] = {}

    def __enter__(self) -> Self:
        name = _register(self._base)
        for module in self._layers:
            object.__setattr__(module, _CAPTURE, self)
        self._buffer, self._steps, self._first, self._sinks, self._waiting = None, {}, None, {}, {}
        self._model.set_attn_implementation(name)
        return self

    def __exit__(self, *exc: object) -> None:
        self._model.set_attn_implementation(self._base)
        for module in self._layers:
            object.__delattr__(module, _CAPTURE)

    @property
    def n_steps(self) -> int:
        """Steps taken so far."""
        return max(self._steps.values(), default=0)

    @property
    def n_prompt(self) -> int:
        """Tokens of the longest prompt of the batch, padding included."""
        return self._n_prompt

    def n_prompt_of(self, row: int) -> int:
        """Tokens of one row's prompt, padding left out."""
        return self._n_prompt - (0 if self._first is None else int(self._first[row]))

    @property
    def silent_layers(self) -> tuple[int, ...]:
        """Layers without softmax attention (linear, recurrent, convolution): their numbers are NaN."""
        return tuple(i for i in range(self._n_layers()) if not self._steps.get(i))

    @property
    def nbytes(self) -> int:
        """Memory held by the numbers, in bytes."""
        self._reduce_waiting()
        return 0 if self._buffer is None else int(self._buffer.numel() * self._buffer.element_size())

    def statistics(self, row: int, *, n_steps: int | None = None) -> AttentionStatistics:
        """Statistics of one row of the batch, each field of shape (steps, layers, heads); silent layers are NaN.

        Raises
        ------
        ConfigError
            If nothing was captured, or a score of a layer is not finite (half precision overflowed).
        """
        self._reduce_waiting()
        if self._buffer is None:
            raise ConfigError("no attention was captured. Generate inside the `with` block.")
        used = self._buffer[: self.n_steps if n_steps is None else n_steps, :, row].float().cpu().numpy()
        self._check_finite(used)
        return AttentionStatistics(*(used[..., i].astype(np.float64) for i in range(len(ATTENTION_FIELDS))))

    def last(self, row: int) -> AttentionStatistics:
        """Statistics of the latest step of one row, each field of shape (layers, heads)."""
        self._reduce_waiting()
        if self._buffer is None:
            raise ConfigError("no attention was captured. Generate inside the `with` block.")
        used = self._buffer[self.n_steps - 1, :, row].float().cpu().numpy()
        self._check_finite(used[None])
        return AttentionStatistics(*(used[..., i].astype(np.float64) for i in range(len(ATTENTION_FIELDS))))

    def select(self, rows: list[int]) -> None:
        """Take these rows of the batch, in this order and perhaps repeated, as the cache of a branching run does.

        Examples
        --------
        ::

            capture.select([0, 0, 0])  # three continuations of one prompt
            capture.select([2])  # keep the third
        """
        import torch

        self._reduce_waiting()
        if self._buffer is not None:
            index = torch.tensor(rows, device=self._buffer.device)
            self._buffer = self._buffer.index_select(2, index)
            self._first = None if self._first is None else self._first.index_select(0, index)

    def sink_scores(self) -> Floats | None:
        """Learned sink scores, shape (layers, heads), for ``sink_mass``; None for a model without them."""
        if not self._sinks:
            return None
        heads = max(len(sink) for sink in self._sinks.values())
        found = np.full((self._n_layers(), heads), np.nan)
        for layer, sink in self._sinks.items():
            found[layer] = sink.detach().float().cpu().numpy()
        return found

    def add(self, module: Any, query: Any, key: Any, *, mask: Any, options: dict[str, Any]) -> None:
        """Take in one attention call; transformers does this through the registered function."""
        layer, n_queries, n_keys = _layer_of(module), query.shape[2], key.shape[2]
        step = self._steps.get(layer, 0)
        if step == 0:
            self._begin(layer, n_queries, n_keys, mask=mask)
        total = self._n_prompt + step
        self._check_call(layer, n_keys, total, query=query, step=step)
        offset = max(total - n_keys, 0)
        scores = last_query_scores(query[:, :, -1].detach(), key.detach(), options)
        if mask is None and self._first is None and not offset:
            self._wait(layer, step, scores)
        else:
            first = None if self._first is None and not offset else self._first_of(query) - offset
            seen = None if mask is None else mask[:, :, -1]
            self._reduce([layer], step, scores, mask=seen, first=first, n_prompt=self._n_prompt - offset)
        self._steps[layer] = step + 1
        if not step and getattr(module, "sinks", None) is not None:
            self._sinks[layer] = module.sinks

    def _wait(self, layer: int, step: int, scores: Any) -> None:
        """Keep scores until the step is over: layers of one shape are reduced in one go."""
        if layer in self._waiting or len(self._waiting) * scores.numel() * 4 > _MOST_WAITING:
            self._reduce_waiting()
        self._waiting[layer] = (step, scores)

    def _reduce_waiting(self) -> None:
        import torch

        alike: dict[tuple[int, Any], list[int]] = {}
        for layer, (step, scores) in self._waiting.items():
            alike.setdefault((step, scores.shape), []).append(layer)
        for (step, _), layers in alike.items():
            scores = torch.cat([self._waiting[layer][1] for layer in layers])
            self._reduce(layers, step, scores, mask=None, first=None, n_prompt=self._n_prompt)
        self._waiting = {}

    def _reduce(self, layers: list[int], step: int, scores: Any, **seen: Any) -> None:
        """Reduce the scores of one step, shape (layers × batch, heads, keys), and write them down."""
        import torch

        with torch.inference_mode():  # all writing, so that the buffer may be made in one mode and filled in another
            heads = score_statistics(scores, **seen)
            heads = heads.view(len(layers), -1, *heads.shape[1:])
            self._room(step, heads[0])[step, torch.tensor(layers), :, : heads.shape[2]] = heads

    def _begin(self, layer: int, n_queries: int, n_keys: int, *, mask: Any) -> None:
        if n_keys > n_queries:
            raise ConfigError(
                f"layer {layer}: the first call must hold the whole prompt with an empty, growing cache, got "
                f"{n_queries} tokens and {n_keys} keys."
            )
        self._n_prompt = n_queries
        if self._first is None and mask is not None:
            unseen = unfinished_rows(mask)
            if unseen:
                raise ConfigError(
                    f"row {unseen[0]} of the batch ends in padding or holds nothing else, so its last query is no "
                    "token of it. Set padding_side='left', and leave empty prompts out."
                )
            self._first = first_tokens(mask)

    def _first_of(self, query: Any) -> Any:
        return query.new_zeros(query.shape[0]).long() if self._first is None else self._first

    def _check_call(self, layer: int, n_keys: int, total: int, *, query: Any, step: int) -> None:
        if step and query.shape[2] != 1:
            raise ConfigError(
                f"layer {layer}: one token at a time must follow the prompt, got {query.shape[2]}. Chunked prompts, "
                "assisted and beam decoding are not captured."
            )
        if self._limit is not None and total > self._limit:
            raise ConfigError(
                f"layer {layer}: the model has {self._limit:,} positions, and the text now has {total:,} tokens. "
                "Shorten the prompt, or generate fewer."
            )
        if n_keys > total:
            raise ConfigError(
                f"layer {layer}: the cache must grow with the text, got {n_keys} keys for {total} tokens."
            )
        if self._buffer is not None and self._buffer.shape[2] != query.shape[0]:
            raise ConfigError(f"layer {layer}: the batch had {self._buffer.shape[2]} rows, now {query.shape[0]}.")

    def _room(self, step: int, heads: Any) -> Any:
        if self._buffer is None or step >= self._buffer.shape[0]:
            shape = (_FIRST_CAPACITY, self._n_layers(), heads.shape[0], self._n_heads(heads), len(ATTENTION_FIELDS))
            more = (
                heads.new_full(shape, float("nan"))
                if self._buffer is None
                else self._buffer.new_full(self._buffer.shape, float("nan"))
            )
            self._buffer = more if self._buffer is None else _joined(self._buffer, more)
        return self._buffer

    def _n_layers(self) -> int:
        count: int = self._model.config.get_text_config().num_hidden_layers
        return count

    def _n_heads(self, heads: Any) -> int:
        known: int = getattr(self._model.config.get_text_config(), "num_attention_heads", 0) or 0
        return max(int(heads.shape[1]), known)

    def _check_finite(self, used: Floats32) -> None:
        for layer in self._steps:
            lse = used[:, layer, :, 0]
            spoken = lse[:, ~np.isnan(used[:, layer, :, -1]).all(axis=0)]
            if not np.isfinite(spoken).all():
                raise ConfigError(
                    f"layer {layer}: an attention score is not finite in {self._model.dtype}. "
                    "Load the model in bfloat16 or float32."
                )


def _joined(one: Any, other: Any) -> Any:
    import torch

    return torch.cat([one, other])


def _checked_mode(model: Any) -> str:
    config, name = model.config, type(model).__name__
    if getattr(config, "is_encoder_decoder", False):
        raise IncompatibleModelError(f"{name} is an encoder-decoder; attention is captured of decoder-only models.")
    attends = getattr(model, "_supports_attention_backend", False) or getattr(model, "_supports_sdpa", False)
    if not (attends and model._can_set_attn_implementation()):
        raise IncompatibleModelError(f"{name} does not attend through transformers' AttentionInterface.")
    base = str(config._attn_implementation)
    if base.startswith(_PREFIX):
        raise ConfigError(f"the attention of this {name} is captured already. Leave the other block first.")
    if base not in _BASES:
        raise IncompatibleModelError(
            f"{name} attends with {base!r}; attention is captured in {' or '.join(_BASES)}. "
            "Load it with attn_implementation='sdpa'."
        )
    return base


def _attention_layers(model: Any) -> list[Any]:
    crossing = [
        n for n, m in model.named_modules() if getattr(m, "is_cross_attention", False) or "CrossAtt" in type(m).__name__
    ]
    if crossing:
        raise IncompatibleModelError(
            f"layer {crossing[0]} attends to another sequence; only self-attention is captured."
        )
    found = [module for module in model.modules() if getattr(module, "layer_idx", None) is not None]
    if not found:
        raise IncompatibleModelError(f"{type(model).__name__} has no attention layer with a number (`layer_idx`).")
    return found


def _layer_of(module: Any) -> int:
    return int(module.layer_idx)


def _register(base: str) -> str:
    """Make transformers know the capturing twin of an attention mode and of its mask; the same name each time."""
    from transformers import AttentionInterface, AttentionMaskInterface

    name = _PREFIX + base
    masks = AttentionMaskInterface()
    AttentionMaskInterface.register(name, masks[base])
    AttentionInterface.register(name, _capturing(base))
    return name


def _capturing(base: str) -> Callable[..., tuple[Any, Any]]:
    from transformers import AttentionInterface

    shared = None if base == "eager" else AttentionInterface()[base]

    def attend(module: Any, *tensors: Any, **options: Any) -> tuple[Any, Any]:
        out = (shared or _eager_attention(module))(module, *tensors, **options)
        capture = module.__dict__.get(_CAPTURE)
        if capture is not None:
            query, key, _, *rest = tensors
            mask = rest[0] if rest else options.get("attention_mask")
            capture.add(module, query, key, mask=mask, options=options)
        return out  # type: ignore[no-any-return]

    return attend


def _eager_attention(module: Any) -> Callable[..., Any]:
    """The eager attention that the model's own file defines."""
    for owner in type(module).__mro__:
        own = getattr(sys.modules[owner.__module__], "eager_attention_forward", None)
        if own is not None:
            return own  # type: ignore[no-any-return]
    raise IncompatibleModelError(
        f"layer {module.layer_idx}: {type(module).__name__} has no eager attention of its own."
    )
