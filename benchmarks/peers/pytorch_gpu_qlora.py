#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning of a model of Llama-2 7B's shape by transformers, PEFT and bitsandbytes on one GPU: QLoRA.

The peer of benchmarks/gpu/qlora_7b.cu: NF4 weights with quantized scales, LoRA of rank 16 on all linear layers in fp32,
products in bf16 by autocast, every block computed again in backward, AdamW on the adapters; random weights and tokens.
Where bitsandbytes is not installed it says so and, with --lora, measures LoRA over bf16 weights instead, which is another
policy: compare it with nothing but itself. See benchmarks/gpu/README.md.
"""

import argparse
import importlib.util
import json
import sys
import warnings

import torch
from torch.nn import functional

from gpu_timing import report

MODELS = {  # layers, heads, width, MLP, vocabulary
    "7b": (32, 32, 4096, 11008, 32000),
    "tiny": (2, 2, 64, 128, 256),
}


def make_model(transformers, options, device):
    """Random weights, layer by layer on the device: in NF4 at once, so that the bf16 model is never there as a whole."""
    layers, heads, width, mlp, vocabulary = MODELS[options.model]
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=mlp, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=4096, rms_norm_eps=1e-5,
        tie_word_embeddings=False, attn_implementation="sdpa", use_cache=False)
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear):
            continue
        weight = torch.randn(module.out_features, module.in_features, device=device, dtype=torch.bfloat16) * 0.02
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, make_linear(weight, not options.lora and name != "lm_head"))
    rotary = type(model.model.rotary_emb)(config)
    model.model.rotary_emb = rotary.to(device)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                value = torch.ones(parameter.shape, device=device, dtype=torch.bfloat16)
                if parameter.ndim > 1:
                    value.normal_(std=0.02)
                setattr(module, name, torch.nn.Parameter(value, requires_grad=False))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    return model


def make_linear(weight, quantized):
    outputs, inputs = weight.shape
    if not quantized:
        layer = torch.nn.Linear(inputs, outputs, bias=False, device="meta", dtype=weight.dtype)
        layer.weight = torch.nn.Parameter(weight, requires_grad=False)
        return layer
    import bitsandbytes

    layer = bitsandbytes.nn.Linear4bit(
        inputs, outputs, bias=False, compute_dtype=torch.bfloat16, compress_statistics=True, quant_type="nf4",
        device="meta")
    layer.weight = bitsandbytes.nn.Params4bit(
        weight.cpu(), requires_grad=False, compress_statistics=True, quant_type="nf4", module=layer).to(weight.device)
    return layer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=tuple(MODELS), default="7b")
    parser.add_argument("--lora", action="store_true", help="over bf16 weights, without bitsandbytes")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--paged", action="store_true", help="bitsandbytes' paged AdamW")
    parser.add_argument("--batch", type=int, default=4, help="sequences")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens per sequence")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--cpu", action="store_true", help="on the processor, to see that the script runs")
    options = parser.parse_args()

    wanted = ["transformers", "peft"] + ([] if options.lora and not options.paged else ["bitsandbytes"])
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        print(json.dumps({"program": "PEFT", "missing": missing}))
        sys.exit(f"not installed here: {', '.join(missing)}"
                 + ("; --lora does without bitsandbytes" if missing == ["bitsandbytes"] else ""))
    if not options.cpu and not torch.cuda.is_available():
        parser.error("no GPU that PyTorch can use (--cpu --model tiny --tokens 16 shows that the script runs)")

    warnings.simplefilter("ignore")
    import peft
    import transformers
    transformers.logging.set_verbosity_error()
    device = "cpu" if options.cpu else "cuda"
    torch.manual_seed(0)
    model = peft.get_peft_model(make_model(transformers, options, device), peft.LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    optimizer_options = dict(lr=3e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    if options.paged:
        import bitsandbytes
        optimizer = bitsandbytes.optim.PagedAdamW32bit(trained, **optimizer_options)
    else:
        optimizer = torch.optim.AdamW(trained, fused=True, **optimizer_options)
    forward = torch.compile(model) if options.compile else model
    layers, _, width, _, vocabulary = MODELS[options.model]
    inputs, targets = torch.randint(vocabulary, (2, options.batch, options.tokens), device=device)

    def step():
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = forward(input_ids=inputs, use_cache=False).logits
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    count_trained = sum(p.numel() for p in trained)
    # The base without the embedding: 4 for each of its parameters, 6 for those of the adapter, and attention's scores.
    heads_and_linears = sum(
        m.in_features * m.out_features for n, m in model.named_modules()
        if hasattr(m, "in_features") and "lora_" not in n and not n.endswith("base_layer"))
    norms = sum(p.numel() for n, p in model.named_parameters() if "norm" in n)
    versions = [f"{name} {__import__(name).__version__}" for name in wanted]
    report(
        {
            "program": f"PyTorch {torch.__version__}, " + ", ".join(versions),
            "model": f"Llama-2 {options.model}",
            "adapter": "LoRA over bf16" if options.lora else "QLoRA",
            "mode": "compiled" if options.compile else "eager",
            "batch": [options.batch, options.tokens],
            "trained_parameters": count_trained,
        },
        step, options, options.batch * options.tokens,
        4 * (heads_and_linears + norms) + 6 * count_trained + 12 * layers * width * options.tokens)


if __name__ == "__main__":
    main()
