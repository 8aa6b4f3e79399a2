// SPDX-License-Identifier: Apache-2.0
// What transformers and PEFT make of tiny Qwen3s.
#include "family.hpp"

namespace {

using tied = models::qwen3<layers<2>, heads<4>, kv_heads<2>, head_width<8>, width<16>, mlp<24>,
                           vocabulary<26>, context<64>, tied_head<1>>;
using untied = models::qwen3<layers<2>, heads<6>, kv_heads<2>, head_width<6>, width<20>, mlp<28>,
                             vocabulary<26>, context<64>>;
using adapted = fine_tuning<tied, adapters::lora<rank<4>, alpha<8>>>;
family_files const files("qwen3");

}  // namespace

TEST_CASE("a Qwen3 gives the logits of transformers, from its folder and from GGUF") {
    using whole = fine_tuning<tied>;
    whole from_folder(1), from_gguf(2);
    from_folder.load(files.weights("tied"));
    from_gguf.load(io::gguf(files / "tied.gguf"));
    auto const found = files.logits_of(from_folder);
    CHECK(files.apart(found, "tied") < near);
    CHECK(files.logits_of(from_gguf) == found);

    using other = fine_tuning<untied>;
    other run(3);
    run.load(files.weights("untied"));
    CHECK(files.apart(files.logits_of(run), "untied") < near);
    auto const same = files.logits_of(run);
    run.load(io::gguf(files / "untied.gguf"));
    CHECK(files.logits_of(run) == same);

    files.check_written(from_folder, found, run);
}

TEST_CASE("a Qwen3 trains as transformers' does: losses, norms and gradients of five steps") {
    fine_tuning<tied> run;
    run.load(files.weights("tied"));
    files.check_training(run);
}

TEST_CASE("LoRA of a Qwen3 goes to and from PEFT's files") { files.exchange<adapted>("lora"); }

TEST_CASE("what is not the Qwen3 that was compiled is refused in words, and nothing has changed") {
    fine_tuning<tied> run;
    run.load(files.weights("tied"));
    auto const before = files.logits_of(run);
    auto const said = [&](auto const& change) { return files.said_of_changed(run, "tied", change); };
    auto const of_config = [&](std::string const& from, std::string const& to) {
        return files.said_of_config(run, "tied", from, to);
    };
    CHECK(said([](auto&, auto&) {}).empty());

    // A width of heads that is not named is no share of the model's width, but 128.
    CHECK_THAT(of_config(R"("head_dim": 8,)", ""), Contains("heads of width 128"));
    CHECK_THAT(of_config(R"("head_dim": 8)", R"("head_dim": 4)"),
               Contains("heads of width 4 in the file, expected heads of width 8"));
    CHECK_THAT(of_config(R"("head_dim": 8)", R"("head_dim": null)"), Contains("null for \"head_dim\""));
    CHECK_THAT(of_config(R"("rope_type": "default")",
                         R"("rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16)"),
               Contains("\"yarn\"") && Contains("other rotary frequencies are not implemented"));
    CHECK_THAT(of_config(R"("attention_bias": false)", R"("attention_bias": true)"),
               Contains("true for \"attention_bias\""));
    auto const windowed = [&](std::string const& first) {
        return said([&](auto& config, auto&) {
            replace(config, R"("use_sliding_window": false)", R"("use_sliding_window": true)");
            replace(config, R"("sliding_window": null)", R"("sliding_window": 8)");
            replace(config, R"("max_window_layers": 28)", R"("max_window_layers": )" + first);
            replace(config, R"("layer_types": [
    "full_attention",
    "full_attention"
  ],)",
                    "");
        });
    };
    CHECK_THAT(windowed("1"), Contains("a sliding window of 8 tokens"));
    CHECK(windowed("2").empty());  // no layer has it
    CHECK_THAT(of_config(R"("model_type": "qwen3")", R"("model_type": "qwen3_moe")"),
               Contains("\"qwen3_moe\"") && Contains("\"qwen3\""));

    // Qwen2 has no norms of heads, and its trainer would not look for them.
    CHECK_THAT(of_config(R"("model_type": "qwen3")", R"("model_type": "qwen2")"), Contains("qwen3"));
    std::string const norm = "model.layers.1.self_attn.k_norm.weight";
    CHECK_THAT(said([&](auto&, auto& all) { all.erase(norm); }), Contains(norm));
    CHECK_THAT(said([&](auto&, auto& all) {
                   all[norm] = {{16}, std::vector<std::byte>(16 * sizeof(float))};
               }),
               Contains(norm) && Contains("16") && Contains("8"));
    CHECK_THAT(said([&](auto&, auto& all) {
                   all["model.layers.0.self_attn.q_proj.bias"] = {{32}, std::vector<std::byte>(128)};
               }),
               Contains("q_proj.bias"));

    auto const said_of_gguf = [&](std::string const& from, std::string const& to) {
        return files.said_of_gguf(run, "tied", from, to);
    };
    CHECK_THAT(said_of_gguf("qwen3.attention.key_length", "qwen3.attention.key_lengtx"),
               Contains("\"qwen3.attention.key_lengtx\"") && Contains("may change the mathematics"));
    CHECK_THAT(said_of_gguf("blk.1.attn_q_norm.weight", "blk.1.attn_q_nor_.weight"),
               Contains("blk.1.attn_q_nor"));
    CHECK(files.logits_of(run) == before);
}
