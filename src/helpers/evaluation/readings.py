"""What one model gives: generated answers to all rows, and, where its files are here, the probabilities behind them."""

import json
import time
from contextlib import nullcontext
from importlib.metadata import version
from multiprocessing.pool import ThreadPool
from pathlib import Path

from .. import serving, template
from ..errors import UserError
from ..run import Run
from . import answers, asking, choices, gateway, likelihood, quiz
from .answers import Answers
from .asking import Asker

NOWHERE = "http://127.0.0.1:9/v1"  # the address while no server runs, because every answer is kept already


def examine(run: Run, name: str, folder: Path, rows: list[dict], kept: Answers, work: Path) -> dict:
    """Serve a model folder, ask it everything, then read its probabilities; all is added to the rows under `name`.

    Args:
        rows: of `stage.questions`.
        work: holds `quiz/`; takes the logs and EvalScope's reports.

    Returns:
        `asking` (answered, from the file, retries, …), `left_out` (why, by id), `seconds` by part.

    Raises:
        UserError: the server does not start or stops answering. What was answered by then is kept.
    """
    clock, who = [time.monotonic()], f"{answers.fingerprint(folder)} {engine()}"
    options, tokens = run.profile.serve, run.profile.eval["max_new_tokens"]
    # Once everything was answered the server need not start again.
    done = answers.key(who, [], {"rows": _asked(rows), "tokens": tokens, "evalscope": version("evalscope")})
    serve = nullcontext() if kept.get(done) else serving.serve(folder, options, work / f"server-{name}.log")
    with serve as endpoint:
        clock.append(time.monotonic())
        asker = Asker(endpoint.url if endpoint else NOWHERE, options["model_name"], who, kept)
        lost = generate(rows, name, asker, work, tokens)
        clock.append(time.monotonic())
    if not lost:
        kept.put(done, "all answered")
    probabilities(run, folder, rows, name, who, kept)
    clock.append(time.monotonic())
    parts = ("start the server", "answers", "probabilities")
    seconds = {part: round(b - a, 1) for part, a, b in zip(parts, clock, clock[1:], strict=False)}
    return {"asking": asker.trouble(), "left_out": lost, "seconds": seconds}


def generate(rows: list[dict], name: str, asker: Asker, work: Path, max_tokens: int) -> dict[str, str]:
    """Ask for everything that is generated, through EvalScope for the quiz, and add it to the rows under `name`.

    Returns:
        Why a row got no answer, by its id.

    Raises:
        UserError: EvalScope failed, the key or the model is refused, or the endpoint is gone.
    """
    lost = asking.ask_all(rows, name, asker, max_tokens)  # first, because it notices at once that a key is refused
    asked = [row for row in rows if row["part"] == "quiz"]
    with gateway.opened(asker) as (url, password):

        def one(kind: str) -> dict[str, dict]:
            log = work / f"evalscope-{name}-{kind}.log"
            return quiz.run(url, asker.model, work / "quiz", kind, log, password)

        kinds = sorted({row["kind"] for row in asked})
        try:
            with ThreadPool(len(quiz.KINDS)) as pool:
                found = {i: answer for part in pool.map(one, kinds) for i, answer in part.items()}
        except UserError:
            asker.check()  # an endpoint that is gone is the better reason
            raise
    asker.check()
    for row in asked:
        answer = found.get(row["id"])
        row[name], row[f"{name}_letter"] = (answer["answer"], answer["letter"]) if answer else (None, None)
        if answer is None:
            lost[row["id"]] = "no answer for EvalScope"
    if len(lost) == len(rows):
        raise UserError(f"{asker.url} answered nothing ({', '.join(asker.failures)}); no score can be given.")
    return lost


def probabilities(run: Run, folder: Path, rows: list[dict], name: str, who: str, kept: Answers) -> None:
    """Read in this process what a model finds likely, and add it to the rows: letters chosen, surprise at replies."""
    import torch

    system = run.profile.sft["system"]
    asked, talks = ([r for r in rows if r["part"] == part] for part in ("quiz", "dialogue"))
    whole = [[*row["messages"], {"role": "assistant", "content": row["reference"]}] for row in talks]

    def read() -> dict:
        cut = template.load(run.profile)
        encoded = [template.encode(cut, messages) for messages in whole]
        model, tokenizer = likelihood.load(folder)
        letters = choices.score(model, tokenizer, asked, system)
        surprise = likelihood.surprise(model, encoded, [likelihood.replies(m) for m in whole])
        return {"letters": letters, "surprise": surprise.tolist()}

    by_quiz = [[choices.wording(q, r) for r in range(len(choices.options(q)))] for q in asked]
    key = answers.key(who, [], {"letters": by_quiz, "surprise": whole, "system": system})
    found = kept.remember(key, read)
    torch.cuda.empty_cache()  # the model is gone, and the next server wants its memory
    for row, one in zip(asked, found["letters"], strict=True):
        row[f"{name}_chosen"], row[f"{name}_unrotated"] = one["chosen"], one["unrotated"]
    for row, one in zip(talks, found["surprise"], strict=True):
        row[f"{name}_surprise"] = one


def write(rows: list[dict], results: dict, folder: Path) -> None:
    """Write every answer (`answers.jsonl`) and every score (`scores.json`)."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "answers.jsonl").write_text(lines, encoding="utf-8")
    (folder / "scores.json").write_text(json.dumps(results, ensure_ascii=False, indent=1), encoding="utf-8")


def engine() -> str:
    """What computes the answers; answers of another one are others."""
    return f"LMDeploy {version('lmdeploy')}" if serving.has_gpu() else serving.STAND_IN


def _asked(rows: list[dict]) -> list:
    return [[r["id"], r.get("messages"), r.get("question"), r.get("answer")] for r in rows]
