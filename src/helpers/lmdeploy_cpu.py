"""A stand-in for LMDeploy's engine on a machine without a GPU. It is not LMDeploy's engine, and says so.

Real: the `lmdeploy` command line and its checks, the chat template, the HTTP API, keys, streaming, metrics, errors.
Stand-in: the forward pass, which is transformers in float32 on the CPU. It says nothing about TurboMind or its speed.
It knows temperature, top_k, top_p, seed and max_tokens; penalties, min_p and log-probabilities are ignored.

It replaces one private method of LMDeploy 0.18.0:
`python -m helpers.lmdeploy_cpu serve api_server MODEL --backend pytorch …`
"""

import asyncio
import queue
import sys
import threading
import time
from dataclasses import dataclass, field

import lmdeploy
import torch

PINNED = "0.18.0"
GATHER_SECONDS = 0.05  # requests that arrive within this time are decoded together


@dataclass
class Request:
    """One prompt on its way: token ids in, `(token, is_last)` out through `put`."""

    ids: list[int]
    config: object
    put: callable
    stop: threading.Event = field(default_factory=threading.Event)
    made: int = 0

    def choose(self, logits: torch.Tensor, generator: torch.Generator) -> int:
        """Pick the next token from logits of shape (vocabulary,): greedy, or top-k and top-p at a temperature."""
        g = self.config
        if g.top_k == 1 or not g.do_sample:
            return int(logits.argmax())
        p = (logits / max(g.temperature, 1e-5)).softmax(-1)
        if g.top_k:
            p = p * (p >= p.topk(g.top_k).values[-1])
        ranked, index = p.sort(descending=True)
        ranked[(ranked.cumsum(0) - ranked) > (g.top_p or 1.0) * ranked.sum()] = 0
        return int(index[torch.multinomial(ranked, 1, generator=generator)])


class CpuEngine:
    """What LMDeploy's AsyncEngine expects of an engine, around a transformers model."""

    def __init__(self, path: str, config):
        from transformers import AutoModelForCausalLM

        self.engine_config, self.limit = config, config.max_batch_size or 8
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.waiting: queue.Queue[Request] = queue.Queue()
        self.active, self.steps = 0, 0
        threading.Thread(target=self._work, daemon=True).start()

    def create_instance(self, *_):
        return CpuHandle(self)

    def nothing(self, *_):
        """Stands for calls that only an engine with its own processes and cache needs."""

    start_loop = close = end_session = nothing

    def get_schedule_metrics(self):
        """What LMDeploy publishes at /metrics. There is no cache of a fixed size here, so its use stays 0."""
        from lmdeploy.messages import ScheduleMetrics

        return ScheduleMetrics(self.active, self.waiting.qsize(), scheduler_tick=self.steps)

    async def get_health_status(self):
        return dict(alive=True, message="CPU stand-in", schedule_metrics=self.get_schedule_metrics())

    def _work(self) -> None:
        while True:
            batch = [self.waiting.get()]
            time.sleep(GATHER_SECONDS)
            while len(batch) < self.limit and not self.waiting.empty():
                batch.append(self.waiting.get())
            batch = [r for r in batch if not r.stop.is_set()]  # a client that left while it waited
            try:
                if batch:
                    self._decode(batch)
            except Exception as error:  # the server answers with an error and lives on
                for request in batch:
                    request.put(error)
            self.active = 0

    @torch.inference_mode()
    def _decode(self, batch: list[Request]) -> None:
        """Decode a left-padded batch together; a row that ends leaves the batch and its cache."""
        from transformers import DynamicCache

        longest = max(len(r.ids) for r in batch)
        x = torch.tensor([[0] * (longest - len(r.ids)) + list(r.ids) for r in batch])
        mask = torch.tensor([[0] * (longest - len(r.ids)) + [1] * len(r.ids) for r in batch])
        position = (mask.cumsum(-1) - 1).clamp(min=0)
        draws = [torch.Generator().manual_seed((r.config.random_seed or 0) % 2**63) for r in batch]
        cache = DynamicCache(config=self.model.config)
        while batch:
            self.active, self.steps = len(batch), self.steps + 1
            out = self.model(
                input_ids=x, attention_mask=mask, position_ids=position, past_key_values=cache, logits_to_keep=1
            )
            chosen, keep = [], []
            for i, (request, draw) in enumerate(zip(batch, draws, strict=True)):
                token = request.choose(out.logits[i, -1].float(), draw)
                request.made += 1
                ends = () if request.config.ignore_eos else request.config.stop_token_ids or ()
                last = token in ends or request.made >= request.config.max_new_tokens or request.stop.is_set()
                request.put((token, last))
                chosen.append(token)
                if not last:
                    keep.append(i)
            if len(keep) < len(batch):
                batch, draws = [batch[i] for i in keep], [draws[i] for i in keep]
                if not batch:
                    return
                cache.batch_select_indices(torch.tensor(keep))
                mask, position = mask[keep], position[keep]
            x = torch.tensor([[chosen[i]] for i in keep])
            mask = torch.cat([mask, torch.ones(len(keep), 1, dtype=mask.dtype)], -1)
            position = position[:, -1:] + 1


class CpuHandle:
    """One session's view of the engine."""

    def __init__(self, engine: CpuEngine):
        self.engine, self.running = engine, {}

    async def async_cancel(self, session_id):
        request = self.running.get(session_id)
        if request:
            request.stop.set()
            request.put((0, True))  # wakes the stream, also of a request that still waits for its turn

    async def async_end(self, session_id):
        pass

    async def async_stream_infer(
        self, session_id, input_ids, gen_config=None, adapter_name=None, stream_output=True, **_
    ):
        from lmdeploy.messages import EngineOutput, RequestMetrics, ResponseType

        loop, arrived = asyncio.get_running_loop(), asyncio.Queue()
        request = Request(input_ids, gen_config, lambda x: loop.call_soon_threadsafe(arrived.put_nowait, x))
        self.running[session_id] = request
        self.engine.waiting.put(request)
        try:
            while True:
                item = await arrived.get()
                if isinstance(item, Exception):
                    yield EngineOutput(ResponseType.INTERNAL_ENGINE_ERROR, [])
                    return
                token, last = item
                if last and request.stop.is_set():
                    yield EngineOutput(ResponseType.CANCEL, [])
                    return
                now = RequestMetrics(token_timestamp=time.time())
                yield EngineOutput(ResponseType.FINISH if last else ResponseType.SUCCESS, [token], req_metrics=now)
                if last:
                    return
        finally:
            request.stop.set()
            self.running.pop(session_id, None)


def build_engine(self, model_path: str, backend_config=None, **_) -> CpuEngine:
    """Takes the place of `AsyncEngine._build_pytorch`."""
    return CpuEngine(model_path, backend_config)


def main() -> None:
    """Put the stand-in in place and hand over to LMDeploy's own command line."""
    if lmdeploy.__version__.rstrip("+") != PINNED:
        sys.exit(f"the CPU stand-in is written for LMDeploy {PINNED}, and {lmdeploy.__version__} is installed.")
    from lmdeploy.cli.entrypoint import run
    from lmdeploy.serve.core import async_engine

    async_engine.AsyncEngine._build_pytorch = build_engine
    run()


if __name__ == "__main__":
    main()
