"""One run: a profile, its folder below outputs/, and how the stages fill it."""

import errno
import hashlib
import importlib
import inspect
import json
import platform
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from .errors import UserError
from .machine import machine
from .profile import ROOT, Profile, resolve
from .stages import STAGES

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a write fails with on a full disk


@dataclass(frozen=True)
class Run:
    """Every path of a run in one place, and the stages that make what lies there."""

    profile: Profile
    root: Path

    @classmethod
    def current(cls, profile: str | None = None) -> "Run":
        """The run of the profile in force, below `outputs/`; see `profile.resolve`."""
        chosen = resolve(profile)
        return cls(chosen, ROOT / "outputs" / chosen.name)

    def dir(self, stage: str) -> Path:
        return self.root / STAGES[stage].folder

    @property
    def train_file(self) -> Path:
        return self.dir("data") / "train.jsonl"

    @property
    def val_file(self) -> Path:
        return self.dir("data") / "val.jsonl"

    @property
    def adapter(self) -> Path:
        return self.dir("sft") / "adapter"

    @property
    def merged(self) -> Path:
        return self.dir("export") / "model"

    def record(self, stage: str) -> dict:
        """What a finished stage recorded.

        Raises:
            UserError: the stage has not run; the sentence names the notebook that makes it.
        """
        file = self.dir(stage) / "record.json"
        if not file.is_file():
            page = STAGES[stage].page or STAGES[stage].folder
            raise UserError(
                f"{file.relative_to(self.root.parent.parent)} does not exist: "
                f"run notebooks/{page}.ipynb or `python -m helpers run {stage}` first."
            )
        return json.loads(file.read_text(encoding="utf-8"))

    def took(self, stage: str) -> str:
        """How long a finished stage took, and on which machine, in a line."""
        record = self.record(stage)
        where = record["machine"]
        device = where["gpu"] or f"{where['cpu']}, {where['cores']} cores"
        return f"{STAGES[stage].folder}: {record['seconds']:.0f} s on {device}"

    def require(self, *stages: str) -> None:
        """Build each stage and what it needs, unless it is there already and its inputs have not changed."""
        for stage in stages:
            self.require(*STAGES[stage].needs)
            self._build(stage)

    def is_fresh(self, stage: str) -> bool:
        """True if the stage's record was made from the inputs that lie there now."""
        try:
            return self.record(stage)["key"] == self.key(stage)
        except UserError:
            return False

    def key(self, stage: str) -> str:
        """A hash of all a stage depends on: profile sections, inputs, package versions, the helper that makes it."""
        spec = STAGES[stage]
        module = importlib.import_module(f"helpers.{spec.module}")
        parts = {
            "sections": {s: getattr(self.profile, s) for s in spec.sections},
            "inputs": {n: self.record(n)["key"] for n in spec.needs},
            "packages": {p: version(p) for p in spec.packages},
            "code": hashlib.sha256(inspect.getsource(module).encode()).hexdigest(),
            "files": {Path(f).name: _sha256(f) for f in getattr(module, "inputs", lambda run: [])(self)},
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def work_dir(self, stage: str) -> Path:
        """Where a stage is built before it is renamed into place."""
        return self.root / f".{STAGES[stage].folder}.{self.key(stage)[:12]}"

    def _build(self, stage: str) -> None:
        spec, target = STAGES[stage], self.dir(stage)
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f".{spec.folder}.lock"):
            if self.is_fresh(stage):
                return
            free = shutil.disk_usage(self.root).free / 2**30
            if free < spec.free_gib:
                raise UserError(
                    f"{spec.folder} needs {spec.free_gib} GiB of disk and {self.root} has {free:.1f} GiB free; "
                    f"free some space and run again."
                )
            key, work = self.key(stage), self.work_dir(stage)
            for old in self.root.glob(f".{spec.folder}.*"):  # left by a run that was killed
                if old.is_dir() and not (spec.resumes and old == work):
                    shutil.rmtree(old)
            work.mkdir(exist_ok=True)
            try:
                self._fill(stage, key, work)
            except BaseException as error:
                failed = work if spec.resumes else self._keep_logs(stage, work)
                if isinstance(error, UserError):
                    raise UserError(str(error).replace(str(work), str(failed))) from error
                if isinstance(error, OSError) and error.errno in FULL:
                    kept = "what it has is carried on" if spec.resumes else "nothing was kept"
                    raise UserError(
                        f"the disk is full: {spec.folder} could not be written to {self.root} ({error.strerror}); "
                        f"{kept}, free some space and run again."
                    ) from error
                raise
            shutil.rmtree(self._failed(stage), ignore_errors=True)
            if target.exists():
                shutil.rmtree(target)
            work.rename(target)

    def _fill(self, stage: str, key: str, work: Path) -> None:
        """Let the stage's module fill the folder, and write the record last."""
        spec = STAGES[stage]
        started, clock = datetime.now(UTC), time.monotonic()
        results = importlib.import_module(f"helpers.{spec.module}").build(self, work)
        record = {
            "stage": stage,
            "profile": self.profile.name,
            "key": key,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 1),
            "machine": machine(),
            "versions": {"python": platform.python_version(), **{p: version(p) for p in spec.packages}},
            **results,
        }
        (work / "record.json").write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")

    def _failed(self, stage: str) -> Path:
        return self.root / f"{STAGES[stage].folder}.failed"

    def _keep_logs(self, stage: str, work: Path) -> Path:
        """Remove what a failed stage has written, but for its logs, which say why."""
        failed = self._failed(stage)
        shutil.rmtree(failed, ignore_errors=True)
        for log in work.glob("*.log"):
            failed.mkdir(exist_ok=True)
            log.rename(failed / log.name)
        shutil.rmtree(work, ignore_errors=True)
        return failed


def _sha256(file: Path) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
