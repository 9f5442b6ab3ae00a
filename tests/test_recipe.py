"""`check-recipe`: reading of shell, Markdown and YAML, verdicts, the ported command, exit codes."""

import json
import subprocess
import sys

import pytest

from helpers import profile, recipe
from helpers.errors import UserError
from helpers.recipe import classes, reading, shell, tools

LLAMA = "LLM-Research/Meta-Llama-3.1-8B-Instruct"
PUBLISHED = profile.FOLDER / "original.yaml"


def verdicts(tmp_path, text, name="recipe.sh"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return recipe.check(tmp_path / name)


def one(tmp_path, line, name="recipe.sh") -> dict:
    """Verdicts of a single command, by flag."""
    return {v.flag: v for v in verdicts(tmp_path, line, name)[0].verdicts}


def test_the_published_recipe_has_the_known_faults():
    found = {(v["command"], v["flag"].lstrip("-"), v["status"]): v for v in recipe.as_dicts(recipe.check(PUBLISHED))}
    for command, flag, status in (
        ("swift sft", "train_type", "renamed"),
        ("swift sft", "target_modules", "harmful"),
        ("swift sft", "template", "harmful"),
        ("swift sft", "model", "harmful"),
        ("swift export", "ckpt_dir", "harmful"),
        ("swift deploy", "tp", "renamed"),
        ("swift deploy", "session-len", "renamed"),
        ("swift deploy", "cache-max-entry-count", "bad value"),
        ("swift deploy", "infer_backend", "harmful"),
        ("swift deploy", "adapters", "harmful"),
    ):
        assert (command, flag, status) in found, (command, flag, status)
    rules = {v["rule"] for v in recipe.as_dicts(recipe.check(PUBLISHED))}
    missing = {v["value"] for v in recipe.as_dicts(recipe.check(PUBLISHED)) if v["flag"] == "(not given)"}
    assert {"--val_dataset", "--host", "--model_revision"} <= missing
    assert {"base-under-tuned-name", "backend-broken", "cache-zero"} <= rules
    assert found["swift sft", "train_type", "renamed"]["working"] == "--tuner_type lora"
    modules = found["swift sft", "target_modules", "harmful"]["working"]
    assert modules == "--target_modules q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"
    assert all(v["reason"] and v["source"] for v in found.values() if v["status"] != "ok")


@pytest.mark.parametrize("name", profile.names())
def test_shipped_profiles_have_no_finding_but_packages_of_a_gpu(name):
    wrong = [v for c in recipe.check(profile.FOLDER / f"{name}.yaml") for v in c.verdicts if v.status != "ok"]
    assert all("not installed here" in v.reason for v in wrong), wrong


def test_the_ported_recipe_has_no_refusal_left(tmp_path):
    again = verdicts(tmp_path, recipe.port(recipe.check(PUBLISHED)))
    assert [c.command.tool for c in again] == ["swift sft", "swift export", "swift export", "lmdeploy serve api_server"]
    left = {v.status for c in again for v in c.verdicts} - {"ok", "harmful"}
    assert not left, [v for c in again for v in c.verdicts if v.status in left]
    assert not [v for v in again[-1].verdicts if v.status != "ok"]


@pytest.mark.parametrize(
    ("line", "flag", "status", "working"),
    [
        ("swift sft --sft_type lora", "--sft_type", "renamed", "--tuner_type lora"),
        ("swift sft --lora-rank=16", "--lora-rank", "ok", "--lora-rank=16"),
        ("swift sft --lora_ran 16", "--lora_ran", "ok", "--lora_rank 16"),
        ("swift sft --lora_rank eight", "--lora_rank", "bad value", ""),
        ("swift sft --lora_rank 8 16", "--lora_rank", "bad value", "--lora_rank 8"),
        ("swift sft --lora_target_modules ALL", "--lora_target_modules", "renamed", "--target_modules all-linear"),
        ("swift sft --target_modules ALL", "--target_modules", "harmful", "--target_modules all-linear"),
        ("swift sft --dtype bf16", "--dtype", "renamed", "--torch_dtype bfloat16"),
        ("swift sft --torch_dtype bf16", "--torch_dtype", "bad value", "--torch_dtype bfloat16"),
        ("swift sft --quantization_bit 4", "--quantization_bit", "renamed", "--quant_method bnb --quant_bits 4"),
        ("swift sft --train_dataset_sample 100", "--train_dataset_sample", "unknown", ""),
        ("swift sft --trust_remote_code true", "--trust_remote_code", "unknown", ""),
        ("swift sft --learning_rates 1", "--learning_rates", "unknown", "--learning_rate 1"),
        ("swift sft --template llama4711", "--template", "bad value", ""),
        ("swift sft --deepspeed default-zero2", "--deepspeed", None, "--deepspeed zero2"),
        ("swift sft --output_dir 'my output'", "--output_dir", "ok", "--output_dir 'my output'"),
        ("swift sft —lora_rank 8", "—lora_rank", "unknown", "--lora_rank 8"),
        ("swift sft --dataset alpaca-zh#500", "--dataset", "harmful", None),
        ("swift sft --dataset a/b#500 c.jsonl", "--dataset", "ok", None),
        ("swift sft --lora_rank $RANK", "--lora_rank", "ok", "--lora_rank $RANK"),
        ("swift sft --eval_steps", "--eval_steps", "bad value", None),
        ("swift infer --infer_backend pt --model ./m", "--infer_backend", "ok", None),
        ("swift infer --load_args_from_ckpt_dir true", "--load_args_from_ckpt_dir", "renamed", "--load_args true"),
        ("lmdeploy serve api_server m --session_len 4096", "--session_len", "ok", None),
        ("lmdeploy serve api_server m --served_model_name x", "--served_model_name", "renamed", "--model-name x"),
        ("lmdeploy serve api_server m --cache-max-entry-count 0", "--cache-max-entry-count", "bad value", None),
        ("lmdeploy serve api_server m --backend vllm", "--backend", "bad value", None),
        ("lmdeploy serve api_server m --trust-remote-code", "--trust-remote-code", "harmful", ""),
        ("lmdeploy serve api_server --tp 2 m", "--tp", "ok", "--tp 2"),
        ("swift dpo --beta 0.1", "swift dpo", "renamed", "swift rlhf --rlhf_type dpo"),
        ("swift sft --config a.yaml", "--config", "unknown", ""),
        ("swift sft --bf16", "--bf16", "bad value", "--bf16 true"),
        ("swift sft --padding_free true", "--padding_free", "harmful", "--padding_free false"),
        ("swift sft --model_type llama3_1-8b-instruct", "--model_type", "bad value", f"--model {LLAMA}"),
        ("swift rlhf --ref_model_type qwen2-7b", "--ref_model_type", "bad value", ""),
        ("swift deploy --ckpt_dir out/checkpoint-9-merged", "--ckpt_dir", "renamed", "--model out/checkpoint-9-merged"),
        ("lmdeploy serve api_server m --chat-template llama3", "--chat-template", "bad value", "--chat-template hf"),
        ("lmdeploy serve gradio http://127.0.0.1:1", "lmdeploy serve gradio", "unknown", None),
        ("lmdeploy chat ./m --tp 2", "lmdeploy chat", "ok", None),
    ],
)
def test_one_flag(tmp_path, line, flag, status, working):
    found = one(tmp_path, line)[flag]
    assert status is None or status in (found.status, *found.also), found
    assert working is None or found.working == working, found


@pytest.mark.parametrize("tool", ["swift sft", "swift deploy", "swift export", "swift rlhf", "swift infer"])
def test_ok_means_that_the_parser_takes_it_and_unknown_that_it_does_not(tool):
    """Every option is taken under its own name, and under its name with a letter more it is not."""
    parser = tools.parser(tool)
    for action in parser._actions:
        name = action.option_strings[0]
        if action.dest in ("help",) or name.startswith("--no_"):
            continue
        words = (name, *([str(list(action.choices)[0])] if action.choices else ["1"]))
        answer = tools.ask(tool, words)
        assert not answer.unknown and answer.dest == action.dest, words
        assert tools.ask(tool, (f"{name}x", "1")).unknown


def test_shell_text_is_read_as_a_shell_reads_it(tmp_path):
    text = """#!/bin/bash
export USE_HF=1
MODEL=meta-llama/Meta-Llama-3.1-8B-Instruct
CUDA_VISIBLE_DEVICES=0 nohup swift sft \\
    --model "$MODEL" \\
    --system 'costs $5 # really' --dataset a/b#10 --tuner_type=lora > log.txt 2>&1 &
cd output && swift infer --model ./m  # the end
"""
    first, second = verdicts(tmp_path, text)
    assert first.command.env == {"USE_HF": "1", "CUDA_VISIBLE_DEVICES": "0"}
    assert first.view.args["model"] == ("meta-llama/Meta-Llama-3.1-8B-Instruct",)
    assert first.view.args["system"] == ("costs $5 # really",) and first.view.args["dataset"] == ("a/b#10",)
    assert "other-hub" not in {v.rule for v in first.verdicts}  # USE_HF says so
    assert [v.line for v in first.verdicts[:2]] == [5, 6]
    assert second.command.tool == "swift infer" and second.view.args == {"model": ("./m",)}


# As recipes of ms-swift 2 and 3 are written, shortened.
OLD = {
    "2, four cards": r"""
nproc_per_node=2
CUDA_VISIBLE_DEVICES=0,1 \
NPROC_PER_NODE=$nproc_per_node \
swift sft \
    --model_type llama3_1-8b-instruct --sft_type lora --template_type AUTO --dtype AUTO --ddp_backend nccl \
    --dataset AI-ModelScope/alpaca-gpt4-data-zh#500 --custom_train_dataset_path mine.jsonl \
    --check_dataset_strategy warning --lora_target_modules DEFAULT --batch_size 1 --use_flash_attn true `# 快` \
    --gradient_accumulation_steps $(expr 16 / $nproc_per_node) --deepspeed default-zero2 --quantization_bit 4 \
    --self_cognition_sample 500 --model_name 小黄 'Xiao Huang' --save_total_limit 2 \
""",
    "2, preferences": r"""swift dpo --model_type llama3_1-8b-instruct --ref_model_type llama3_1-8b-instruct \
    --sft_beta 0.1 --dataset a/b --batch_size 1""",
    "2, quantized": r"""swift export --ckpt_dir out/vx-xxx/checkpoint-xxx --merge_lora true --quant_bits 4 \
    --quant_method awq --dataset a/b --quant_seqlen 2048
swift infer --ckpt_dir out/x --load_dataset_config true --max_new_tokens 9""".replace("\n", "\r\n"),
    "3, flash": r"""NPROC_PER_NODE=4 swift rlhf --rlhf_type dpo --model Qwen/Qwen2.5-7B-Instruct --train_type lora \
    --dataset a/b --attn_impl flash_attn --padding_free true --deepspeed zero3 \
    --gradient_checkpointing_kwargs '{"use_reentrant": false}'""",
    "3, serving": r"""CUDA_VISIBLE_DEVICES=1 swift deploy --adapters out/checkpoint-9 --infer_backend lmdeploy \
    --lmdeploy_tp 2 --temperature 0.7 --served_model_name bot
swift rollout --model a/b --vllm_tensor_parallel_size 2""",
    "1, its own script": r"""nproc_per_node=1
PYTHONPATH=../../.. torchrun --nproc_per_node=$nproc_per_node --master_port 29500 llm_sft.py \
    --model_cache_dir /models/chat --sft_type lora --dtype fp16 --custom_train_dataset_path /data/a.json \
    --lora_dtype AUTO --lora_target_modules ALL --check_dataset_strategy warning \
    --gradient_accumulation_steps $(expr 16 / $nproc_per_node) --logging_steps 10
    # --resume_from_checkpoint /x/checkpoint-9""",
    "3, a file that it writes": r"""cat > conf/sft.yaml <<EOF
model: ./m
train_type: lora
dataset:
  - a/b#500
deepspeed:
target_modules: q_proj,v_proj
EOF
swift sft conf/sft.yaml --lora_rank 16
swift sft --config ./conf/sft.yaml""",
    "3, groups of answers": r"""NPROC_PER_NODE=$(nvidia-smi -L | wc -l) swift rlhf --rlhf_type grpo --model ./m \
    --dataset c.jsonl --use_vllm true --vllm_device auto --num_infer_workers 8 --train_type full --num_generations 8""",
    "3, carried on": r"""swift sft --model ./m --train_type lora --dataset a.jsonl --split_dataset_ratio 0.01 \
    --resume_from_checkpoint out/vx-xxx/checkpoint-xxx --resume_only_model true
swift infer --ckpt_dir out/vx-xxx/checkpoint-xxx-merged --infer_backend pt""",
    "arguments in variables": r"""ARGS="--train_type lora --lora_rank 8"
OPTS=(--train_type lora  # how
      --dataset 'my own.jsonl')
swift sft --model ./m --dataset a.jsonl $ARGS
swift sft --model ./m "${OPTS[@]}" "$@"
bash -c "swift infer --ckpt_dir out/checkpoint-9"
deepspeed $(which swift) sft --model ./m --dataset a.jsonl $MORE""",
    "python -m": r"""D=$1
torchrun --nproc_per_node=2 -m swift.cli.sft --model ./m --train_type full --dataset "$D/a.jsonl"
python swift/cli/rlhf.py --rlhf_type kto --model ./m --dataset c.jsonl""",
}


@pytest.mark.parametrize("name", OLD)
def test_an_old_recipe_ported_is_taken_by_the_installed_tools(tmp_path, name):
    ported = recipe.port(verdicts(tmp_path, OLD[name]))
    assert subprocess.run(["bash", "-n"], input=ported, text=True).returncode == 0
    again = verdicts(tmp_path, ported)
    comments = [line for line in ported.splitlines() if line.startswith("#")]
    for one in again:
        for v in one.verdicts:  # what is left is said in a comment: a blank, a choice, a package
            name = v.value if v.flag == "(not given)" else v.flag
            assert v.status == "ok" or (v.status == "harmful" and any(name in c for c in comments)), v
        assert classes.construct(one.view.tool, one.view.args, one.view.env) in ("", classes.MISSING.format("msgspec"))


def test_the_words_of_a_ported_recipe_are_those_that_were_meant(tmp_path):
    ported = recipe.port(verdicts(tmp_path, OLD["2, four cards"]))
    for words in (
        "CUDA_VISIBLE_DEVICES=0,1 NPROC_PER_NODE=2 swift sft",
        f"--model {LLAMA} ",
        "--dataset AI-ModelScope/alpaca-gpt4-data-zh#500 mine.jsonl ",
        "--gradient_accumulation_steps $(expr 16 / 2) ",
        "--model_name 小黄 'Xiao Huang' ",
        "--target_modules q_proj k_proj v_proj ",
    ):
        assert words in ported, words
    assert "快" not in ported and ported.count("\n  --dataset ") == 1
    served = recipe.port(verdicts(tmp_path, OLD["3, serving"]))
    assert "CUDA_VISIBLE_DEVICES=1 lmdeploy serve api_server ./merged" in served and "--temperature 0.7" in served


def test_a_file_that_the_recipe_writes_is_followed_where_it_is_named(tmp_path):
    from_file, by_flag = verdicts(tmp_path, OLD["3, a file that it writes"])
    assert from_file.command.positional == () and from_file.view.args["dataset"] == ("a/b#500",)
    found = {v.flag: v for v in from_file.verdicts}
    assert (found["--train_type"].status, found["--train_type"].line) == ("renamed", 3)
    assert found["--deepspeed"].status == "bad value" and "the word None" in found["--deepspeed"].reason
    assert found["--target_modules"].working == "--target_modules q_proj v_proj"
    assert found["--lora_rank"].status == "ok"
    assert {v.flag: v.status for v in by_flag.verdicts}["--config"] == "unknown" and "--model" in {
        v.flag for v in by_flag.verdicts
    }
    text = "R=8\ncat <<-'A' > a.yaml\n\tlora_rank: $R\n\tA\ntee b.yaml <<B\nlora_rank: $R\nB\n"
    quoted, plain = verdicts(tmp_path, text + "swift sft a.yaml\nswift sft ./b.yaml")
    assert quoted.view.args.get("lora_rank", ("$R",)) == ("$R",) and plain.view.args["lora_rank"] == ("8",)
    (none,) = verdicts(tmp_path, "cat <<E\nswift sft --said only\nE\nswift infer --model ./m")
    assert none.command.tool == "swift infer" and none.command.line == 4
    inner, outer = verdicts(
        tmp_path, "cat > run.sh <<E\nswift sft --model ./m\nE\nswift sft --config no.yaml --lora_rank 4"
    )
    assert inner.command.line == 2 and {v.flag: v.status for v in outer.verdicts}["FILE"] == "bad value"
    over = one(tmp_path, "cat > a.yaml <<E\nlora_rank: 8\nE\nswift sft a.yaml --lora_rank 4")["--lora_rank"]
    assert over.status == "ok"


def test_words_that_the_shell_puts_in_are_read_or_said_not_to_be(tmp_path):
    split, array, text, more = verdicts(tmp_path, OLD["arguments in variables"])
    assert split.view.args["train_type" if "train_type" in split.view.args else "tuner_type"] == ("lora",)
    assert split.view.args["lora_rank"] == ("8",) and split.view.args["dataset"] == ("a.jsonl",)
    assert array.view.args["dataset"] == ("my own.jsonl",) and text.view.args["adapters"] == ("out/checkpoint-9",)
    for one, word in ((array, "$@"), (more, "$MORE")):
        assert [v.status for v in one.verdicts if v.flag == word] == ["ok"]
    assert more.command.tool == "swift sft" and more.view.args["dataset"] == ("a.jsonl",)
    (caret,) = verdicts(tmp_path, "swift sft ^\r\n  --model ./m ^\r\n  --lora_rank 8")
    assert caret.view.args == {"model": ("./m",), "lora_rank": ("8",)}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("NPROC_PER_NODE=8 swift rlhf --rlhf_type grpo --num_generations 8 --model ./m --dataset a.jsonl", False),
        ("swift rlhf --rlhf_type grpo --num_generations 8 --model ./m --dataset a.jsonl", True),
    ],
)
def test_the_processes_of_a_recipe_count_in_its_batch(tmp_path, line, wrong):
    assert (one(tmp_path, line)["--num_generations"].status == "bad value") is wrong


def test_the_letters_of_a_hubs_name_tell_the_family_and_those_of_a_folder_do_not(tmp_path):
    def rules_of(model):
        return {v.rule for v in verdicts(tmp_path, f"lmdeploy serve api_server {model}")[0].verdicts}

    assert "lmdeploy-path-decides" in rules_of("./llama2-mine")
    assert "lmdeploy-path-decides" not in rules_of("meta-llama/Llama-2-7b-chat-hf")


def test_a_comment_or_a_space_that_ends_a_command_is_found(tmp_path):
    for middle in ("  # --lora_rank 9 \\\n", "  --lora_alpha 3 \\ \n"):
        text = f"swift sft --model ./m \\\n{middle}  --dataset x/y"
        found = [v for v in verdicts(tmp_path, text)[0].verdicts if v.source == "the shell"]
        assert [(v.flag, v.status) for v in found] == [("--dataset", "harmful")]


def test_a_markdown_page_gives_its_commands_and_bare_flags(tmp_path):
    text = (
        "# 训练\n```bash\n# 参数\n--sft_type lora  # 方式\n--max_length 2048\n```\ntext --not a flag\n"
        "```bash\nswift export \\\n --ckpt_dir x\n```"
    )
    training, export = verdicts(tmp_path, text, "page.md")
    assert training.command.kind == "flags" and training.command.tool == "swift sft"
    assert [(v.flag, v.line) for v in training.verdicts[:2]] == [("--sft_type", 4), ("--max_length", 5)]
    assert export.verdicts[0].flag == "--ckpt_dir" and export.verdicts[0].line == 10


def test_a_yaml_file_is_read_as_ms_swift_reads_it(tmp_path):
    text = "# swift sft x.yaml\ntrain_type: lora\nquant_method: null\ntarget_modules: [q_proj, v_proj]\nENV: {A: 1}\n"
    found = one(tmp_path, text, "x.yaml")
    assert found["--train_type"].status == "renamed" and found["--train_type"].line == 2
    assert found["--quant_method"].status == "bad value"  # the word None is no method
    assert found["--target_modules"].value == "q_proj v_proj"
    inner = one(tmp_path, "swift sft x.yaml --lora_rank 4")
    assert inner["--train_type"].status == "renamed" and inner["--lora_rank"].status == "ok"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("hello world\nls -l\n", "holds no `swift"),
        ("swift sft --system 'open", "line 1: a quote ' is opened and never closed"),
        ("a: [1, 2\nb: 3", "holds no|not valid YAML"),
        ("train:\n  args: {lora_rank: 8}\n", "is nested .`train:` holds keys.; ms-swift reads flat"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_one_sentence(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        verdicts(tmp_path, text)


def test_broken_yaml_bytes_and_no_file_are_one_sentence(tmp_path):
    (tmp_path / "b.yaml").write_text("a: [1, 2\nb: 3")
    (tmp_path / "c.yaml").write_text("- a\n- b\n")
    (tmp_path / "d.sh").write_bytes(b"swift sft \xff\xfe")
    (tmp_path / "e.md").write_text("swift sft --lora_rank 8\n" * 10**6)
    for name, says in (
        ("b.yaml", "line 2 is not valid"),
        ("c.yaml", "holds no keys"),
        ("d.sh", "not UTF-8"),
        ("e.md", "has 23 MiB; give the file"),
    ):
        with pytest.raises(UserError, match=says):
            reading.read(tmp_path / name)
    with pytest.raises(UserError, match="does not exist"):
        reading.read(tmp_path / "none.sh")


def test_checking_leaves_no_file_and_no_variable_behind(tmp_path, monkeypatch):
    import os

    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    verdicts(tmp_path, "swift sft --model ./m --dataset x/y --use_hf true --output_dir out")
    verdicts(tmp_path, "swift infer --model ./m --val_dataset a.jsonl")
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.sh"] and dict(os.environ) == before


def test_exit_codes_and_json(tmp_path):
    def call(*words):
        done = subprocess.run([sys.executable, "-m", "helpers", "check-recipe", *words], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    (tmp_path / "good.sh").write_text("lmdeploy serve api_server ./m --server-name 127.0.0.1 --tp 1")
    code, out, err = call(str(tmp_path / "good.sh"), "--json")
    assert code == 0 and {v["status"] for v in json.loads(out)} == {"ok"} and err == ""
    (tmp_path / "bad.sh").write_text("swift sft --sft_type lora")
    code, out, _ = call(str(tmp_path / "bad.sh"))
    assert code == 1 and "renamed" in out and "--tuner_type lora" in out
    code, out, _ = call(str(tmp_path / "bad.sh"), "--port")
    assert code == 0 and "--tuner_type lora" in out
    code, _, err = call(str(tmp_path / "none.sh"))
    assert code == 1 and "does not exist" in err and len(err.strip().splitlines()) == 1
    assert call()[0] == 2


def test_quotes_words_and_numbers():
    assert shell.is_flag("--a") and shell.is_flag("—a") and not shell.is_flag("-1") and not shell.is_flag("-0.5")
    assert [shell.quoted(w) for w in ("a b", "a#1", "#x", "$X", "<fill>")] == ["'a b'", "a#1", "'#x'", "$X", "<fill>"]
