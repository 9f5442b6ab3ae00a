"""Multiple-choice questions by the probability of each option letter, with the options in every rotation.

A small model has a favourite letter. With k options each one stands once behind every letter, and the mean over the
rotations takes the favourite out: what is added to one letter is added to every option. Introduced in notebook 07.
"""

from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np

from ..errors import UserError
from . import likelihood

ASK = {"single": "请选出唯一正确的选项，只回答字母。", "multiple": "请选出所有正确的选项，只回答字母。"}
LEAD = "答案："


def options(question: dict) -> list[str]:
    """The texts of a question's options, in the order of their letters."""
    return [question[letter] for letter in ascii_uppercase if question.get(letter)]


def wording(question: dict, rotation: int) -> str:
    """A question with its options moved on by `rotation` places: option i stands behind letter i + rotation."""
    texts = options(question)
    shown = [texts[(place - rotation) % len(texts)] for place in range(len(texts))]
    lines = "\n".join(f"{letter}. {text}" for letter, text in zip(ascii_uppercase, shown, strict=False))
    return f"{question['question']}\n{lines}\n{ASK[question['kind']]}"


def score(model, tokenizer, questions: Sequence[dict], system: str) -> list[dict]:
    """Answer every question by the probabilities of its letters, behind `答案：`, in all rotations.

    Args:
        questions: `id`, `kind` (single, multiple), `question`, `A`, `B` …, `answer`.

    Returns:
        For each question `id`, `chosen`, `unrotated` (what it would have chosen in the printed order alone) and
        `scores`, the mean log-probability of each option.

    Raises:
        UserError: the tokenizer does not give each letter a token of its own behind the prompt.
    """
    rows = []
    for question in questions:
        k = len(options(question))
        prompts = [_prompt(tokenizer, wording(question, r), system) for r in range(k)]
        tokens = letter_tokens(tokenizer, prompts[0], k)
        by_letter = likelihood.next_token(model, tokenizer, prompts)[:, tokens]  # one question: half of it is shared
        means, first = average(by_letter), by_letter[0]
        rows.append(
            {
                "id": question["id"],
                "chosen": choose(means, question["kind"]),
                "unrotated": choose(first, question["kind"]),
                "scores": dict(zip(ascii_uppercase, map(float, means), strict=False)),
            }
        )
    return rows


def average(by_letter: np.ndarray) -> np.ndarray:
    """Mean log-probability of each option, (k,), from those of each letter in each rotation, (rotations, letters)."""
    k = by_letter.shape[1]
    option = np.arange(k)
    return np.mean([by_letter[r, (option + r) % k] for r in range(len(by_letter))], axis=0)


def choose(scores: np.ndarray, kind: str) -> str:
    """The letters that log-probabilities choose: the most likely one, or all above an even share for `multiple`."""
    if kind == "single":
        return ascii_uppercase[int(scores.argmax())]
    share = np.exp(scores - scores.max())
    share /= share.sum()
    # Rounding must not decide: where all are alike, none stands out, and the first of the best is taken.
    above = share > 1 / len(share) + 1e-9
    return "".join(ascii_uppercase[i] for i in np.flatnonzero(above)) or ascii_uppercase[int(scores.argmax())]


def elastic(chosen: str, answer: str) -> float:
    """Elastic accuracy of one answer, 0..1: the share of the right letters that were found, and 0 with a wrong one."""
    return len(set(chosen)) / len(set(answer)) if set(chosen) <= set(answer) else 0.0


def chance(questions: Sequence[dict], elastically: bool = False) -> float:
    """What blind guessing scores, in percent: one option of a `single`, one of all sets that are not empty of others.

    Args:
        elastically: by elastic accuracy, where a set inside the right one counts in part.
    """

    def guess(question: dict) -> float:
        k, right = len(options(question)), len(question["answer"])
        if question["kind"] == "single":
            return 1 / k
        return (2 ** (right - 1) if elastically else 1) / (2**k - 1)

    return 100 * float(np.mean([guess(q) for q in questions])) if questions else 0.0


def letter_tokens(tokenizer, prompt: str, count: int) -> list[int]:
    """The token of each of the first `count` letters, as it stands behind a prompt.

    Raises:
        UserError: a letter joins the prompt's last token, or two letters begin alike.
    """
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    tokens = []
    for letter in ascii_uppercase[:count]:
        whole = tokenizer(prompt + letter, add_special_tokens=False)["input_ids"]
        if whole[: len(before)] != before or len(whole) == len(before):
            raise UserError(f"this tokenizer joins {LEAD} and {letter}; score the quiz by generated answers instead.")
        tokens.append(whole[len(before)])
    if len(set(tokens)) < count:
        raise UserError("this tokenizer begins two letters alike; score the quiz by generated answers instead.")
    return tokens


def _prompt(tokenizer, text: str, system: str) -> str:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + LEAD
