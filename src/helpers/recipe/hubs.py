"""Names of models: of one hub and the other, and of ms-swift 2."""

import functools
import re
from pathlib import Path

from .aside import silent
from .looks import View


@functools.cache
def other_hub(model: str) -> str:
    """ModelScope's name of a model that is given by its Hugging Face name, '' if it is not."""
    with silent():
        from swift.model import MODEL_MAPPING

    for meta in MODEL_MAPPING.values():
        for group in meta.model_groups:
            for known in group.models:
                if model and model == known.hf_model_id and model != known.ms_model_id:
                    return known.ms_model_id or ""
    return ""


@functools.cache
def known(model: str) -> bool:
    """Whether ms-swift's list names this model on a hub; its letters then tell its family."""
    with silent():
        from swift.model import MODEL_MAPPING

    groups = [group for meta in MODEL_MAPPING.values() for group in meta.model_groups]
    return bool(model) and any(model in (m.hf_model_id, m.ms_model_id) for group in groups for m in group.models)


def hub_name(view: View) -> str:
    """The model's name on a hub, '' for a folder."""
    model = view.one("model")
    return model if re.fullmatch(r"\w[\w.-]*/[\w.-]+", model) and not Path(model).exists() else ""


def uses_hf(view: View) -> bool:
    """Whether ms-swift asks Hugging Face instead of ModelScope."""
    return view.on("use_hf") or view.env.get("USE_HF", "0").lower() in ("1", "true")


@functools.cache
def of_type(model_type: str) -> str:
    """The model that ms-swift 2 meant by `--model_type llama3_1-8b-instruct` for instance, '' if none is found."""
    with silent():
        from swift.model import MODEL_MAPPING

    wanted = _letters(model_type.replace("1half", "1.5"))
    for meta in MODEL_MAPPING.values():
        for model in (m for group in meta.model_groups for m in group.models):
            if model.ms_model_id and _letters(model.ms_model_id.split("/")[1]) == wanted:
                return model.ms_model_id
    return ""


def _letters(name: str) -> str:
    return re.sub(r"^meta|[^a-z0-9]", "", name.lower())
