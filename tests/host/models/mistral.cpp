// SPDX-License-Identifier: Apache-2.0
// What transformers and PEFT make of tiny Mistrals, one with a sliding window that is shorter than the batch's
// sequences.
#include "family.hpp"

namespace {

using tied = models::llama<layers<2>, heads<4>, kv_heads<2>, head_width<6>, width<16>, mlp<20>,
                           vocabulary<26>, context<64>, rope_theta<1000000>, norm_epsilon_inverse<1000000>,
                           sliding_window<8>, tied_head<1>>;
using untied = models::llama<layers<2>, heads<2>, width<12>, mlp<20>, vocabulary<26>, context<64>,
                             rope_theta<1000000>, norm_epsilon_inverse<1000000>>;
using adapted = fine_tuning<tied, adapters::lora<rank<4>, alpha<8>>>;
family_files const files("mistral");

}  // namespace

TEST_CASE("a Mistral gives the logits of transformers, from its folder and from GGUF") {
    using whole = fine_tuning<tied>;
    whole from_folder(1), from_gguf(2);
    from_folder.load(files.weights("tied"));
    from_gguf.load(io::gguf(files / "tied.gguf"));
    auto const found = files.logits_of(from_folder);
    CHECK(files.apart(found, "tied") < near);
    CHECK(files.logits_of(from_gguf) == found);

    fine_tuning<untied> run(3);
    run.load(files.weights("untied"));
    auto const same = files.logits_of(run);
    CHECK(files.apart(same, "untied") < near);
    run.load(io::gguf(files / "untied.gguf"));
    CHECK(files.logits_of(run) == same);

    files.check_written(from_folder, found, run);
}

TEST_CASE("a Mistral trains as transformers' does: losses, norms and gradients of five steps") {
    fine_tuning<tied> run;
    run.load(files.weights("tied"));
    files.check_training(run);
}

TEST_CASE("LoRA of a Mistral goes to and from PEFT's files") { files.exchange<adapted>("lora"); }

TEST_CASE("what is not the Mistral that was compiled is refused in words, and nothing has changed") {
    fine_tuning<tied> run;
    run.load(files.weights("tied"));
    auto const before = files.logits_of(run);
    auto const of_config = [&](std::string const& from, std::string const& to) {
        return files.said_of_config(run, "tied", from, to);
    };
    std::string const window = R"("sliding_window": 8,)";
    CHECK_THAT(of_config(window, ""), Contains("attention to a whole context of 64 in the file") &&
                                          Contains("expected attention within a sliding window of 8 tokens"));
    CHECK_THAT(of_config(window, R"("sliding_window": 9,)"), Contains("a sliding window of 9 tokens"));
    CHECK_THAT(of_config(window, R"("sliding_window": null,)"), Contains("a whole context of 64"));
    CHECK_THAT(of_config(window, R"("sliding_window": 8, "use_sliding_window": false,)"),
               Contains("false for \"use_sliding_window\""));
    CHECK(files.logits_of(run) == before);
}
