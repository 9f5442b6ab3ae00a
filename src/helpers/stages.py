"""The stages of a run, in order: what each needs, and what makes it stale."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stop on the road. `module.build(run, work)` fills the folder `work` and returns the results to record."""

    folder: str
    module: str
    needs: tuple[str, ...]
    sections: tuple[str, ...]  # of the profile: a change in one of them makes the stage stale
    packages: tuple[str, ...]  # likewise, a change of version
    free_gib: float = 0.5  # disk the stage may need
    resumes: bool = False  # its unfinished work is kept and carried on
    page: str = ""  # the notebook that shows it, where that is not called like its folder


STAGES = {
    "environment": Stage("01_environment", "environment", (), ("model",), ()),
    "data": Stage("02_data", "dialogues", (), ("model", "data", "sft"), ("ms-swift", "transformers")),
    "sft": Stage(
        "03_sft", "sft", ("data",), ("model", "sft"), ("ms-swift", "torch", "peft", "transformers"), 2.0, True
    ),
    "vram": Stage(
        "04_vram", "vram.stage", ("sft",), ("model", "sft", "vram", "serve"), ("torch", "peft", "transformers")
    ),
    "export": Stage("05_export", "export", ("sft",), ("export",), ("ms-swift", "torch", "peft", "transformers"), 2.0),
    "deploy": Stage(
        "06_deploy",
        "serving.stage",
        ("data", "export"),
        ("sft", "vram", "serve"),
        ("lmdeploy", "evalscope", "torch", "transformers"),
    ),
    "evaluate": Stage(
        "07_evaluate",
        "evaluation.stage",
        ("data", "export"),
        ("sft", "serve", "eval"),
        ("lmdeploy", "evalscope", "torch"),
    ),
    # apart from what measures it: whoever edits the gate of page 8 need not train again
    "feedback": Stage(
        "08_feedback",
        "improvement.feedback",
        ("data", "sft"),
        ("model", "sft", "improve"),
        ("ms-swift", "torch", "peft", "transformers", "trl"),
        1.0,
        True,
        page="08_improve",
    ),
    "improve": Stage(
        "08_improve",
        "improvement.stage",
        ("evaluate", "feedback"),
        ("model", "sft", "improve"),
        ("ms-swift", "torch", "transformers"),
    ),
}
