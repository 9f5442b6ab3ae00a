"""LMDeploy's server on the CPU stand-in, which also writes down each prompt's token ids as the engine receives them.

`python engine_that_tells.py IDS_FILE serve api_server MODEL …`
"""

import json
import sys
from pathlib import Path

from helpers import lmdeploy_cpu

IDS = Path(sys.argv.pop(1))
ANSWER = lmdeploy_cpu.CpuHandle.async_stream_infer


async def tell(self, session_id, input_ids, *args, **kw):
    with IDS.open("a", encoding="utf-8") as f:
        f.write(json.dumps([int(i) for i in input_ids]) + "\n")
    async for output in ANSWER(self, session_id, input_ids, *args, **kw):
        yield output


lmdeploy_cpu.CpuHandle.async_stream_infer = tell
lmdeploy_cpu.main()
