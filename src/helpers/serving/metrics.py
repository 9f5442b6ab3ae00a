"""What LMDeploy's server counts about itself, read from its Prometheus page `/metrics`."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from .client import Endpoint

NAMES = {
    "succeeded requests": "lmdeploy:num_requests_succeeded",
    "prompt tokens": "lmdeploy:prompt_tokens_total",
    "generated tokens": "lmdeploy:generation_tokens_total",
    "share of the KV cache in use": "lmdeploy:gpu_cache_usage_perc",
}


def read(endpoint: Endpoint) -> dict[str, float]:
    """The counters of `NAMES`; those of requests and cache are renewed by LMDeploy every ten seconds, tokens at once.

    Raises:
        httpx2.HTTPError: the server does not answer, or was started with `--disable-metrics`.
    """
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    root = endpoint.url.removesuffix("/v1")
    page = httpx2.get(f"{root}/metrics", headers=headers, timeout=10, trust_env=False).raise_for_status()
    samples = [s for family in text_string_to_metric_families(page.text) for s in family.samples]
    return {what: sum(s.value for s in samples if s.name == name) for what, name in NAMES.items()}
