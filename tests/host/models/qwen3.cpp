// SPDX-License-Identifier: Apache-2.0
// What transformers and PEFT make of tiny Qwen3s: tests/reference/make_qwen3_fixtures.py made them, and opens what is written here.
#include "qwen3.hpp"

namespace {

using adapted = fine_tuning<tied, adapters::lora<rank<4>, alpha<8>>>;

/// What is said of a folder with a model whose tensors `change` has changed: names, and their types and values.
template <class Run, class Change>
std::string said_of_changed(Run& run, Change const& change) {
    test::scratch folder;
    auto config = test::read_file(data + "tied/config.json");
    io::safetensors const good(data + "tied");
    std::map<std::string, std::pair<std::vector<index_t>, std::vector<std::byte>>> all;
    for (auto const& tensor : good.tensors())
        all[tensor.name] = {tensor.dimensions, {tensor.bytes.begin(), tensor.bytes.end()}};
    change(config, all);
    test::write_file(folder / "config.json", config);
    io::safetensors_writer file(folder / "model.safetensors");
    for (auto const& [name, tensor] : all) file.declare(name, io::tensor_type::f32, tensor.first);
    for (auto const& tensor : file.tensors()) file.write(tensor.name, all[tensor.name].second);
    file.commit();
    return test::refusal([&] { run.load(io::safetensors(folder / "")); });
}

/// `text` with something else in it.
void replace(std::string& text, std::string const& from, std::string const& to) {
    auto const at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a Qwen3 gives the logits of transformers, from its folder and from GGUF") {
    using whole = fine_tuning<tied>;
    whole from_folder(1), from_gguf(2);
    from_folder.load(io::safetensors(data + "tied"));
    from_gguf.load(io::gguf(data + "tied.gguf"));
    auto const found = logits_of(from_folder);
    CHECK(apart(found, "tied") < near);
    CHECK(logits_of(from_gguf) == found);

    using other = fine_tuning<untied>;
    other run(3);
    run.load(io::safetensors(data + "untied"));
    CHECK(apart(logits_of(run), "untied") < near);
    auto const same = logits_of(run);
    run.load(io::gguf(data + "untied.gguf"));
    CHECK(logits_of(run) == same);

    // And what is written says the same of itself; `make_qwen3_fixtures.py check` has transformers open it.
    output_folder const output;
    from_folder.save_model(output / "tied/model");
    run.save_model(output / "untied/model");
    whole again(4);
    again.load(io::safetensors(output / "tied/model"));
    CHECK(logits_of(again) == found);
    CHECK(io::read_model_config(output / "tied/model") == tied::numbers);
    CHECK(io::read_model_config(output / "untied/model") == untied::numbers);
}

TEST_CASE("a Qwen3 trains as transformers' does: losses, norms and gradients of five steps") {
    fine_tuning<tied> run;
    run.load(io::safetensors(data + "tied"));
    check_training(run);
}

TEST_CASE("LoRA of a Qwen3 goes to and from PEFT's files") { exchange<adapted>("lora"); }

TEST_CASE("what is not the Qwen3 that was compiled is refused in words, and nothing has changed") {
    fine_tuning<tied> run;
    run.load(io::safetensors(data + "tied"));
    auto const before = logits_of(run);
    auto const said = [&](auto const& change) { return said_of_changed(run, change); };
    auto const of_config = [&](std::string const& from, std::string const& to) {
        return said([&](auto& config, auto&) { replace(config, from, to); });
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

    test::scratch folder;
    auto const said_of_gguf = [&](std::string const& from, std::string const& to) {
        auto bytes = test::read_file(data + "tied.gguf");
        replace(bytes, from, to);
        test::write_file(folder / "changed.gguf", bytes);
        return test::refusal([&] { run.load(io::gguf(folder / "changed.gguf")); });
    };
    CHECK_THAT(said_of_gguf("qwen3.attention.key_length", "qwen3.attention.key_lengtx"),
               Contains("\"qwen3.attention.key_lengtx\"") && Contains("may change the mathematics"));
    CHECK_THAT(said_of_gguf("blk.1.attn_q_norm.weight", "blk.1.attn_q_nor_.weight"),
               Contains("blk.1.attn_q_nor"));
    CHECK(logits_of(run) == before);
}
