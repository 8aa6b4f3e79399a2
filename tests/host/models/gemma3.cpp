// SPDX-License-Identifier: Apache-2.0
// What transformers and PEFT make of tiny Gemma 3s.
#include "family.hpp"

namespace {

using tied =
    models::gemma3<layers<3>, heads<4>, kv_heads<2>, head_width<6>, width<16>, mlp<20>, vocabulary<26>,
                   context<64>, sliding_window<8>, full_attention_interval<2>, query_scalar<10>>;
using untied =
    models::gemma3<layers<7>, heads<2>, kv_heads<1>, head_width<6>, width<12>, mlp<14>, vocabulary<26>,
                   context<64>, sliding_window<8>, rope_scaling<rope::linear<8>>, tied_head<0>>;
using adapted = fine_tuning<tied, adapters::lora<rank<4>, alpha<8>>>;
family_files const files("gemma3");

}  // namespace

TEST_CASE("a Gemma 3 gives the logits of transformers, from its folder and from GGUF") {
    using whole = fine_tuning<tied>;
    whole run(1);
    run.load(files.weights("tied"));
    auto const found = files.logits_of(run);
    CHECK(files.apart(found, "tied") < near);

    fine_tuning<untied> from_folder(2), from_gguf(3);
    from_folder.load(files.weights("untied"));
    from_gguf.load(io::gguf(files / "untied.gguf"));
    CHECK(files.apart(files.logits_of(from_folder), "untied") < near);
    // Norms lie there as 1 more than here, rounded.
    CHECK(files.apart(files.logits_of(from_gguf), "untied") < near);

    files.check_written(run, found, from_gguf);
}

TEST_CASE("a Gemma 3 trains as transformers' does: losses, norms and gradients of five steps") {
    fine_tuning<tied> run;
    run.load(files.weights("tied"));
    files.check_training(run);
}

TEST_CASE("LoRA of a Gemma 3 goes to and from PEFT's files") { files.exchange<adapted>("lora"); }

TEST_CASE("the text of a Gemma 3 that reads images is loaded, by either kind of names") {
    fine_tuning<tied> run;
    for (std::string const prefix : {"language_model.model.", "model.language_model."}) {
        auto const said = files.said_of_changed(run, "tied", [&](auto& config, auto& tensors) {
            config = R"({"model_type": "gemma3", "tie_word_embeddings": true, "mm_tokens_per_image": 256,)"
                     R"( "vision_config": {"hidden_size": 8}, "text_config": )" +
                     config + "}";
            auto const all = std::exchange(tensors, {});
            for (auto const& [name, data] : all) tensors[prefix + name.substr(6)] = data;
            tensors["vision_tower.x"] = all.at("model.norm.weight");
        });
        CHECK(said.empty());
        CHECK(files.apart(files.logits_of(run), "tied") < near);
    }
}

TEST_CASE("what is not the Gemma 3 that was compiled is refused in words, and nothing has changed") {
    fine_tuning<tied> run;
    run.load(files.weights("tied"));
    auto const before = files.logits_of(run);
    auto const check = [&](std::string const& from, std::string const& to, std::string const& said) {
        CHECK_THAT(files.said_of_config(run, "tied", from, to), Contains(said));
    };
    std::string const list =
        "\"layer_types\": [\n    \"sliding_attention\",\n    \"full_attention\",\n    "
        "\"sliding_attention\"\n  ],";
    CHECK(files.said_of_config(run, "tied", list, "\"sliding_window_pattern\": 2,").empty());
    check(list, "", "one kind of attention in all layers in the file");
    check(list, "\"sliding_window_pattern\": 3,", "full attention in every layer of 3");
    check(list, R"("layer_types": ["full_attention", "full_attention"],)", "for each of the 3 layers");
    check(list, R"("layer_types": ["sliding_attention", "full_attention", "full_attention"],)",
          "for every so many-th layer");
    check(R"("attn_logit_softcapping": null)", R"("attn_logit_softcapping": 50.0)",
          "for \"attn_logit_softcapping\"");
    check(R"("final_logit_softcapping": null)", R"("final_logit_softcapping": 30.0)",
          "for \"final_logit_softcapping\"");
    check(R"("use_bidirectional_attention": false)", R"("use_bidirectional_attention": true)",
          "true for \"use_bidirectional_attention\"");
    check(R"("hidden_activation": "gelu_pytorch_tanh")", R"("hidden_activation": "gelu")",
          "expected \"gelu_pytorch_tanh\"");
    check(R"("query_pre_attn_scalar": 10)", R"("query_pre_attn_scalar": 6)",
          "scores divided by the root of 6");
    check("10000.0", "20000.0", "a rotary base within the window of 20000");
    check(R"("sliding_window": 8)", R"("sliding_window": 9)", "a sliding window of 9 tokens");
    check(R"("sliding_window": 8)", R"("sliding_window": null)", "sliding_window");
    check(R"("sliding_attention": {)", R"("chunked_attention": {)",
          "\"full_attention\" and \"sliding_attention\"");
    check(R"("model_type": "gemma3_text")", R"("model_type": "llama")", "for \"");
    CHECK(files.logits_of(run) == before);
}
