# SPDX-License-Identifier: Apache-2.0
# A test that cannot fail is none: check.cmake must accept the good case and refuse each bad one, for its own reason.
cmake_minimum_required(VERSION 3.25)

function(expect_check case words)
    execute_process(
        COMMAND ${CMAKE_COMMAND} "-DCOMPILER=${COMPILER}" "-DCASE=${CMAKE_CURRENT_LIST_DIR}/${case}.cpp" -P
                "${CMAKE_CURRENT_LIST_DIR}/../check.cmake"
        RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(words STREQUAL "accepted")
        if(failed)
            message(NOTICE "${output}")
            message(FATAL_ERROR "${case}: a good case was not accepted")
        endif()
    elseif(NOT failed OR NOT output MATCHES "${words}")
        message(NOTICE "${output}")
        message(FATAL_ERROR "${case}: the check must fail and say '${words}'")
    endif()
endfunction()

expect_check(good accepted)
expect_check(wrong_words "the first 20 lines do not say: a sentence nobody wrote")
expect_check(second_words_missing "the compiler's words do not say")
expect_check(quoted_source "the first 20 lines do not say: a_name_in_the_source")
expect_check(too_late "the first 20 lines do not say: the last of many")
expect_check(not_refused "compiles with -DREFUSED")
expect_check(broken_twin "the twin .* does not compile")
expect_check(no_expectation "no `// expected-error:` line")
