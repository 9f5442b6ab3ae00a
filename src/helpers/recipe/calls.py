"""Which tool a simple command calls."""

import re

from . import shell

WRAPPERS = {"nohup", "time", "sudo", "env", "exec", "$", "%%bash", "stdbuf"}
VERBS = {
    "swift": set(
        "sft pt infer merge-lora web-ui deploy rollout rlhf sample export eval app "
        "dpo orpo simpo kto cpo app-ui llm-infer llm-sft llm-dpo".split()
    ),
    "megatron": {"sft", "pt", "rlhf", "export"},
}


def tool_of(words: list[tuple[str, int]]) -> tuple[str, list[tuple[str, int]]]:
    """Name of the tool that a simple command calls, and the words behind it; '' if it is another program."""
    plain = [w for w, _ in words]
    first = next((i for i, w in enumerate(plain) if w not in WRAPPERS and not re.match(r"[A-Za-z_]\w*=", w)), 0)
    for i, word in enumerate(plain):
        name = re.sub(r"^\$\(which (\w+)\)$", r"\1", word.lstrip("!")).rsplit("/", 1)[-1]
        after = plain[i + 1] if i + 1 < len(plain) else ""
        script = re.search(r"swift[./]cli[./](\w+?)(?:\.py)?$", word)
        old = re.fullmatch(r"llm_(sft|infer|dpo|orpo|simpo|kto|cpo)\.py", name)  # ms-swift 1 and 2
        if old:
            return f"swift llm-{old[1]}", words[i + 1 :]
        if script and script[1] != "main":
            return f"swift {script[1].replace('_', '-')}", words[i + 1 :]
        if script or name in VERBS:
            verb = after.replace("_", "-")
            if verb in VERBS.get(name, VERBS["swift"]) or (i == first and verb and not shell.is_flag(verb)):
                return f"{'swift' if script else name} {verb}", words[i + 2 :]
        if name == "lmdeploy" and after:
            if after == "serve" and i + 2 < len(plain):
                return f"lmdeploy serve {plain[i + 2]}", words[i + 3 :]
            if i == first and not shell.is_flag(after):
                return f"lmdeploy {after}", words[i + 2 :]
    return "", []
