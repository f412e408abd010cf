"""A language model is fine-tuned: transformers, peft, trl, datasets and accelerate together."""

import json
from typing import Any

import pytest

from tests.images.helpers.containers import WITHOUT_GPU, Run
from tests.images.helpers.scope import applies

pytestmark = applies(workload="training")

# A few words, a tokenizer for them, and a Llama of two layers with random weights: nothing is downloaded.
PROGRAM = """
import json, os, torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

torch.manual_seed(0)
texts = ["one two three four five six seven eight"] * 64
words = Tokenizer(models.WordLevel(unk_token="<unk>"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
words.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=["<unk>", "<pad>", "</s>"]))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="</s>")
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
trainer = SFTTrainer(
    model=LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes)),
    processing_class=tokenizer,
    train_dataset=Dataset.from_dict({"text": texts}),
    peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    args=SFTConfig(
        output_dir="/tmp/adapter", max_steps=10, per_device_train_batch_size=8, learning_rate=1e-2, max_length=16,
        logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True, bf16=False,
    ),
)
trainer.train()
trainer.save_model()
print(json.dumps({
    "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
    "device": next(trainer.model.parameters()).device.type,
    "trained": [name for name, weights in trainer.model.named_parameters() if weights.requires_grad],
    "files": os.listdir("/tmp/adapter"),
}))
"""


def fine_tune(run: Run, **options: Any) -> dict[str, Any]:
    """Return the program's report on its training; it has no network, and can write to /tmp and /cache only."""
    writable = {"read_only": True, "tmpfs": {"/tmp": "", "/cache": "mode=0770,uid=123456"}, "user": "123456:0"}
    finished = run("python", "-c", PROGRAM, **writable, **options)
    finished.require_success()
    return dict(json.loads(finished.stdout.splitlines()[-1]))


def assert_learned(result: dict[str, Any]) -> None:
    """Check that the loss fell by a tenth, only LoRA's weights were trained, and the adapter is saved."""
    losses = result["losses"]
    assert losses[-1] < 0.9 * losses[0], losses
    assert result["trained"]
    assert [name for name in result["trained"] if ".lora_" not in name] == []
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= set(result["files"])


@pytest.mark.slow
@pytest.mark.requirement("U3", "U10")
def test_lora_fine_tuning_learns_on_the_cpu(run: Run) -> None:
    """On a read-only root, without rights, as any user."""
    result = fine_tune(run, cap_drop=["ALL"], environment=WITHOUT_GPU)
    assert result["device"] == "cpu"
    assert_learned(result)


@pytest.mark.slow
@pytest.mark.requirement("U3", "A12")
def test_lora_fine_tuning_learns_on_the_gpu(run: Run, gpu: dict[str, Any]) -> None:
    """The same program; the Trainer takes the GPU by itself."""
    result = fine_tune(run, **gpu)
    assert result["device"] == "cuda"
    assert_learned(result)
