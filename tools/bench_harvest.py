"""What a harvest costs beside the one matrix product that it cannot do without: the figures of docs/benchmarks/harvest.md.

.venv/bin/python tools/bench_harvest.py speed      # of the bare product, without a language model
.venv/bin/python tools/bench_harvest.py parts      # where the time goes
.venv/bin/python tools/bench_harvest.py memory     # peak, at 100 thousand and at 2 million tokens
.venv/bin/python tools/bench_harvest.py growth     # tokens per second at 512 to 32,768 experts
.venv/bin/python tools/bench_harvest.py model      # MiniLM at layer 3, beside the truncated model alone
.venv/bin/python tools/bench_harvest.py cuda       # a Gemma-2-2B shape on a GPU
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from atlas.activations.corpus import Document
from atlas.activations.stream import BLOCK_ROWS, Block, Tokens
from atlas.dictionary import Smixae, SmixaeConfig, Weights
from atlas.dictionary.smixae import codes
from atlas.harvest.accumulated import Accumulated
from atlas.harvest.config import HarvestConfig, Shape
from atlas.harvest.harvest import accumulate
from atlas.harvest.mentions import Mentioned
from atlas.harvest.parts import Part, Progressed, Shard

WINDOW = 126
CHUNK_TOKENS = 32_256
"""About what 131,072 characters of English hold."""
N_VOCABULARY = 50_000
NO_MENTIONS = Mentioned(*(torch.zeros(0, dtype=kind) for kind in (torch.int64, torch.int32, torch.int32, torch.int64)))


class Size(NamedTuple):
    """A dictionary, and how many of its experts fire."""

    d_in: int
    n_experts: int
    d_expert: int
    k: int


LARGE, SMALL = Size(2304, 2048, 8, 64), Size(384, 1024, 8, 32)


def dictionary(size: Size, device: str = "cpu") -> Smixae:
    """Return a random dictionary whose threshold lets k experts fire on a random row, on average."""
    generator = torch.Generator().manual_seed(0)
    config = SmixaeConfig(size.d_in, size.n_experts, size.d_expert, 3, True)

    def normal(*shape: int, scale: float) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    n, e = size.n_experts, size.d_expert
    weights = Weights(
        W_enc=normal(size.d_in, n * e, scale=size.d_in**-0.5),
        b_enc=torch.zeros(n * e),
        W_bottleneck=normal(n, e, 3, scale=0.3),
        W_latent_dec=normal(n, 3, e, scale=0.3),
        W_dec=normal(n * e, size.d_in, scale=size.d_in**-0.5),
        b_dec=torch.zeros(size.d_in),
    )
    norms = Smixae(config, weights, 1.0).norms(rows(size.d_in, 0, 256))
    # An expert's own norms differ in scale: each is given the same rate, as in a trained dictionary, but for a factor.
    threshold = norms.flatten().sort().values[-size.k * len(norms)].item()
    return Smixae(config, weights, threshold).to(device)


def rows(d_in: int, number: int, n: int) -> torch.Tensor:
    """Return some random rows, the same for the same number."""
    return torch.randn(n, d_in, generator=torch.Generator().manual_seed(number))


def stream(d_in: int, first: int, n_blocks: int, device: str = "cpu", pool: int = 16) -> Iterator[Block]:
    """Yield blocks of windows in order; their rows come from a small pool, so that making them takes no time."""
    size = BLOCK_ROWS[torch.device(device).type]
    made = [rows(d_in, number, size).to(device) for number in range(pool)]
    for number in range(first, first + n_blocks):
        at = torch.arange(number * size, (number + 1) * size, device=device)
        window = at // WINDOW
        token_id = ((at * 2654435761) % N_VOCABULARY).int()
        # A document is eight windows; a fifth of them are held out.
        document = window // 8
        tokens = Tokens(document, (window % 8).int(), (at % WINDOW).int(), token_id, window * 7919, document % 5 == 0)
        # Another order of the columns makes another row of the same pool: no two blocks of a chunk fire alike.
        yield Block(made[number % pool].roll(number // pool, dims=1), tokens)


def accumulated(smixae: Smixae) -> Accumulated:
    """Return accumulators as a harvest has them."""
    shape = Shape(smixae.n_experts, smixae.d_in, 3, smixae.threshold, 128, WINDOW, N_VOCABULARY, 246, 1.0)
    return Accumulated(shape, HarvestConfig(), smixae.device)


def run(smixae: Smixae, kept: Accumulated, found: list[Block], every: int = 0) -> None:
    """Harvest one chunk, one of `every` so many blocks with importance; 0 is none."""
    first, last = int(found[0].tokens.document[0]), int(found[-1].tokens.document[-1])
    kept.begin_chunk([Document(number, "", False) for number in range(first, last + 1)], NO_MENTIONS)
    measured = len(found) // every if every else 0
    for part, is_measured in ((found[:measured], True), (found[measured:], False)):
        accumulate(part, kept, smixae, 0, "bench", "held out" if is_measured else "none")
    kept.close_chunk()


def timed(work: Callable[..., Any], *given: Any) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    work(*given)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def products(found: list[Block], smixae: Smixae) -> None:
    """Do what no harvest can do without."""
    for block in found:
        block.x @ smixae.weights.W_enc


def firings(found: list[Block], smixae: Smixae) -> None:
    """Encode and select, and keep nothing."""
    for block in found:
        smixae.firings(block.x)


def dense(found: list[Block], smixae: Smixae) -> None:
    """Encode as the reference does, every expert's code times 0 where it is silent, and keep nothing."""
    for block in found:
        code = codes(block.x, smixae.weights, smixae.decoder_norm)
        code * (code.norm(dim=2, keepdim=True) > smixae.threshold)


def speed() -> None:
    """Print tokens per second as a share of the bare product's, chunk by chunk in turns."""
    for size, n_chunks in ((LARGE, 3), (SMALL, 16)):
        smixae = dictionary(size)
        products(list(stream(size.d_in, 0, 16)), smixae)
        for every, called in ((16, "importance on a sixteenth of all blocks"), (1, "importance on all blocks")):
            kept = accumulated(smixae)
            seconds = {"product": 0.0, "harvest": 0.0, "firings": 0.0, "dense": 0.0}
            n = CHUNK_TOKENS // BLOCK_ROWS["cpu"]
            for number in range(n_chunks):
                found = list(stream(size.d_in, number * n, n))
                seconds["harvest"] += timed(run, smixae, kept, found, every)
                seconds["product"] += timed(products, found, smixae)
                seconds["firings"] += timed(firings, found, smixae)
                seconds["dense"] += timed(dense, found[:16], smixae) * len(found) / 16
            tokens = n * n_chunks * BLOCK_ROWS["cpu"]
            per_token = int(kept.totals.sums["firings"].sum()) / tokens
            print(
                f"d_in {size.d_in}, {size.n_experts} experts of width {size.d_expert}, {per_token:.1f} firings a token, "
                f"{tokens:,} tokens, float32, {torch.get_num_threads()} threads; {called}, a fifth of rows held out:"
            )
            for name, spent in seconds.items():
                print(f"  {name:8} {tokens / spent:10,.0f} tokens/s   {seconds['product'] / spent:.3f} of the product")


def parts() -> None:
    """Print where the time of a harvest goes, in per cent of the bare product."""
    smixae = dictionary(SMALL)
    kept = accumulated(smixae)
    spent: dict[str, float] = {}
    for name in ("totals", "histogram", "vocabulary", "sample", "fired_tokens", "top", "co_firing", "token_sample"):
        part = getattr(kept, name)
        part.update = _counted(part.update, name, spent)
    n = CHUNK_TOKENS // BLOCK_ROWS["cpu"]
    whole = product = encoding = 0.0
    for number in range(4):
        found = list(stream(SMALL.d_in, number * n, n))
        whole += timed(run, smixae, kept, found)
        product += timed(products, found, smixae)
        encoding += timed(firings, found, smixae)
    print(f"{SMALL}, {torch.get_num_threads()} threads: harvest {whole / product:.0%} of the product")
    for name, seconds in {"encode and select": encoding, **spent}.items():
        print(f"  {name:18} {seconds / product:6.1%}")


def _counted(update: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., None]:
    def timed_update(*given: Any) -> None:
        started = time.perf_counter()
        update(*given)
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started

    return timed_update


def memory() -> None:
    """Print the peak above the model-free baseline, each in a process of its own."""
    for tokens in (100_000, 2_000_000):
        subprocess.run([sys.executable, __file__, "memory-of", str(tokens)], check=True)


def memory_of(tokens: int) -> None:
    """Print the peak of one harvest of 2,048 experts; narrow rows make it quick, and nothing kept depends on their width."""
    smixae = dictionary(Size(64, 2048, 8, 64))
    smixae.firings(rows(64, 0, 256))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = accumulated(smixae)
    n = CHUNK_TOKENS // BLOCK_ROWS["cpu"]
    for number in range(math.ceil(tokens / CHUNK_TOKENS)):
        run(smixae, kept, list(stream(64, number * n, n)), 16)
        # As often as a harvest of this speed would be saved.
        if number % 10 == 9:
            sum(value.sum() for value in kept.state().values())
    bytes_kept = sum(value.numel() * value.element_size() for value in kept.state().values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = int(kept.totals.sums["tokens"])
    print(
        f"{done:,} tokens: peak {(peak - before) / 1024:.0f} MB above dictionary and libraries, state {bytes_kept / 2**20:.0f} MB"
    )


def merge() -> None:
    """Print how long saving, reading and merging a part take, by what 2,048 experts keep of some 300,000 tokens each."""
    smixae = dictionary(Size(64, 2048, 8, 64))
    n = CHUNK_TOKENS // BLOCK_ROWS["cpu"]
    kept = [accumulated(smixae), accumulated(smixae)]
    for number in range(20):
        run(smixae, kept[number % 2], list(stream(64, number * n, n)), 16)
    with TemporaryDirectory() as folder:
        part = Part(Path(folder), 0, Shard(0, 2))
        about = Progressed({}, 0, 0, 1, finished=True)
        print(f"save {timed(lambda: part.save(kept[1].state(), about)):.2f} s, {part.path.stat().st_size / 2**20:.0f} MB")
        other = accumulated(smixae)
        print(f"read {timed(lambda: other.restore(part.load())):.2f} s, merge {timed(kept[0].merge, other):.2f} s")


def growth() -> None:
    """Print tokens per second by number of experts, and the exponent of the time's growth."""
    times = []
    for n_experts in (512, 2048, 8192, 32_768):
        smixae = dictionary(Size(2304, n_experts, 8, 64))
        kept = accumulated(smixae)
        n_blocks = max(4, 64 * 512 // n_experts)
        found = list(stream(2304, 0, n_blocks))
        run(smixae, kept, found)
        tokens = n_blocks * BLOCK_ROWS["cpu"]
        # The quickest of three turns each: another program's work is in the others.
        turns = [(timed(run, smixae, kept, found), timed(products, found, smixae)) for _ in range(3)]
        spent, product = (min(column) for column in zip(*turns, strict=True))
        times.append((n_experts, spent / tokens))
        print(f"{n_experts:6,} experts: {tokens / spent:8,.0f} tokens/s, {product / spent:.2f} of the product")
    for (few, first), (many, last) in zip(times, times[1:], strict=False):
        print(f"  {few:,} to {many:,}: exponent {math.log(last / first) / math.log(many / few):.2f}")


def model() -> None:
    """Print tokens per second of a harvest on MiniLM at layer 3, as a share of the truncated model's alone, by turns."""
    from atlas.activations.corpus import python_docs
    from atlas.activations.model import LanguageModel
    from atlas.activations.pretrained import PACKAGED_MODEL
    from atlas.activations.stream import StreamConfig, blocks, chunk_windows
    from atlas.harvest.mentions import Mentions
    from atlas.probe.tasks import builtin_tasks

    language_model = LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2")
    config, tokenizer = StreamConfig(), language_model.tokenizer
    mentions = Mentions({task.name: task.labels for task in builtin_tasks()})
    for n_experts, k in ((256, 12), (1024, 32)):
        size = Size(384, n_experts, 8, k)
        smixae = _fitted(dictionary(size), language_model, k)
        kept = accumulated(smixae)
        alone = whole = 0.0
        for chunk in islice(python_docs().chunks(), 4):
            alone += timed(lambda chunk: list(blocks(chunk_windows(chunk, tokenizer, config), language_model, config)), chunk)
            started = time.perf_counter()
            kept.begin_chunk(chunk, mentions.find(chunk, tokenizer, WINDOW))
            accumulate(
                blocks(chunk_windows(chunk, tokenizer, config), language_model, config), kept, smixae, 0, "bench", "held out"
            )
            kept.close_chunk()
            whole += time.perf_counter() - started
        tokens = int(kept.totals.sums["tokens"])
        print(
            f"MiniLM at layer 3, {n_experts} experts, {int(kept.totals.sums['firings'].sum()) / tokens:.1f} firings a token, "
            f"importance on all chunks, {tokens:,} tokens: {tokens / whole:,.0f} tokens/s, {alone / whole:.2f} of the model alone"
        )


def _fitted(smixae: Smixae, language_model: Any, k: int) -> Smixae:
    """Return the dictionary with rows of the model centred and scaled, and a threshold that lets k experts fire."""
    from atlas.activations.corpus import python_docs
    from atlas.activations.stream import StreamConfig, blocks, chunk_windows

    windows = chunk_windows(next(python_docs().chunks()), language_model.tokenizer, StreamConfig())[:64]
    x = torch.cat([block.x[: len(block.tokens.document)] for block in blocks(windows, language_model, StreamConfig())])
    W_enc = smixae.weights.W_enc / x.std(dim=0).mean()
    weights = smixae.weights._replace(W_enc=W_enc, b_enc=-x.mean(dim=0) @ W_enc)
    norms = Smixae(smixae.config, weights, 1.0).norms(x)
    return Smixae(smixae.config, weights, norms.flatten().sort().values[-k * len(x)].item())


def cuda() -> None:
    """Print tokens per second, time outside the model and memory of a Gemma-2-2B shape at layer 12 in bfloat16."""
    from transformers import Gemma2Config, Gemma2Model

    device = "cuda"
    print(torch.cuda.get_device_name())
    config = Gemma2Config(num_hidden_layers=13)
    language_model = Gemma2Model(config).to(device, torch.bfloat16).eval()
    smixae = dictionary(Size(2304, 2048, 16, 64), device)
    kept = accumulated(smixae)
    window, n_windows = 128, 256
    ids = torch.randint(5, config.vocab_size, (n_windows, window), device=device)

    @torch.no_grad()
    def forward() -> torch.Tensor:
        return language_model(input_ids=ids).last_hidden_state[:, 2:].reshape(-1, 2304).float()

    x = forward()
    mean, std = x.mean(dim=0), x.std()
    n_blocks = len(x) // BLOCK_ROWS[device]

    def harvested(number: int) -> None:
        real = (forward() - mean) / std
        found = stream(8, number * n_blocks, n_blocks, device, pool=1)
        made = [block._replace(x=part) for block, part in zip(found, torch.split(real, BLOCK_ROWS[device]), strict=False)]
        run(smixae, kept, made)

    harvested(0)
    alone = sum(timed(forward) for _ in range(8))
    whole = sum(timed(harvested, number) for number in range(1, 9))
    tokens = 8 * n_blocks * BLOCK_ROWS[device]
    print(f"{tokens / whole:,.0f} tokens/s; model alone {tokens / alone:,.0f}; outside the model {1 - alone / whole:.1%}")
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"a billion tokens: {1e9 / (tokens / whole) / 3600:.1f} GPU-hours; peak {peak:.1f} GiB")


if __name__ == "__main__":
    known = {"speed": speed, "parts": parts, "memory": memory, "merge": merge, "growth": growth, "model": model, "cuda": cuda}
    if sys.argv[1:2] == ["memory-of"]:
        memory_of(int(sys.argv[2]))
    elif len(sys.argv) == 2 and sys.argv[1] in known:
        known[sys.argv[1]]()
    else:
        sys.exit(__doc__)
