// SPDX-License-Identifier: Apache-2.0
// What transformers and PEFT make of tiny SmolLM3s.
#include "family.hpp"

namespace {

using tied = models::smollm3<layers<3>, heads<4>, kv_heads<2>, width<16>, mlp<20>, vocabulary<26>,
                             context<64>, rope_theta<1000000>, no_rope_layer_interval<2>>;
using untied = models::smollm3<layers<4>, heads<2>, width<12>, mlp<20>, vocabulary<26>, context<64>,
                               rope_theta<1000000>, tied_head<0>>;
using adapted = fine_tuning<tied, adapters::lora<rank<4>, alpha<8>>>;
family_files const files("smollm3");

}  // namespace

TEST_CASE("a SmolLM3 gives the logits of transformers, from its folder and from GGUF") {
    using whole = fine_tuning<tied>;
    whole run(1);
    run.load(files.weights("tied"));
    auto const found = files.logits_of(run);
    CHECK(files.apart(found, "tied") < near);

    fine_tuning<untied> from_folder(2), from_gguf(3);
    from_folder.load(files.weights("untied"));
    from_gguf.load(io::gguf(files / "untied.gguf"));
    auto const same = files.logits_of(from_folder);
    CHECK(files.apart(same, "untied") < near);
    CHECK(files.logits_of(from_gguf) == same);

    files.check_written(run, found, from_gguf);
}

TEST_CASE("a SmolLM3 trains as transformers' does: losses, norms and gradients of five steps") {
    fine_tuning<tied> run;
    run.load(files.weights("tied"));
    files.check_training(run);
}

TEST_CASE("LoRA of a SmolLM3 goes to and from PEFT's files") { files.exchange<adapted>("lora"); }

TEST_CASE("what is not the SmolLM3 that was compiled is refused in words, and nothing has changed") {
    fine_tuning<tied> run;
    run.load(files.weights("tied"));
    auto const before = files.logits_of(run);
    auto const of_config = [&](std::string const& from, std::string const& to) {
        return files.said_of_config(run, "tied", from, to);
    };
    std::string const list = "\"no_rope_layers\": [\n    1,\n    0,\n    1\n  ],";
    CHECK(of_config(list, "").empty());
    CHECK(of_config(R"("no_rope_layer_interval": 2,)", R"("max_window_layers": 28,)").empty());
    CHECK_THAT(of_config(list, "\"no_rope_layers\": [1, 1, 1],"),
               Contains("rotary positions in every layer in the file, expected rotary positions in all but "
                        "every layer of 2"));
    CHECK_THAT(of_config(list, "\"no_rope_layers\": [1, 1, 0],"), Contains("in all but every layer of 3"));
    CHECK_THAT(of_config(list, "\"no_rope_layers\": [1, 0, 0],"),
               Contains("0 in \"no_rope_layers\", expected 1, and 0 for every so many-th layer"));
    CHECK_THAT(of_config(list, "\"no_rope_layers\": [1, 0],"), Contains("for each of the 3 layers"));
    CHECK_THAT(of_config(R"("use_sliding_window": false)", R"("use_sliding_window": true)"),
               Contains("true for \"use_sliding_window\""));
    CHECK_THAT(of_config(R"("model_type": "smollm3")", R"("model_type": "llama")"),
               Contains("no_rope_layer_interval"));
    fine_tuning<untied> other;
    other.load(files.weights("untied"));
    CHECK_THAT(files.said_of_gguf(other, "untied", "smollm3.rope.freq_base", "smollm3.rope.freq_basx"),
               Contains("\"smollm3.rope.freq_basx\"") && Contains("may change the mathematics"));
    CHECK(files.logits_of(run) == before);
}
