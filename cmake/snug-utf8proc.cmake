# SPDX-License-Identifier: Apache-2.0
# Defines snug::utf8proc, the library that puts a text into Unicode's normal forms for the tokenizer, where there is one.
# Used by this build and by the installed package.

if(NOT TARGET snug::utf8proc)
    find_path(SNUG_UTF8PROC_INCLUDE utf8proc.h)
    mark_as_advanced(SNUG_UTF8PROC_INCLUDE)
    if(SNUG_UTF8PROC_INCLUDE)
        # Loaded when a tokenizer needs it (snug/data/tokenizer/normalizer.hpp), not linked.
        add_library(snug::utf8proc INTERFACE IMPORTED GLOBAL)
        target_include_directories(snug::utf8proc SYSTEM INTERFACE "${SNUG_UTF8PROC_INCLUDE}")
        target_link_libraries(snug::utf8proc INTERFACE ${CMAKE_DL_LIBS})
    else()
        message(STATUS "No snug::tokenizer, for want of utf8proc (libutf8proc-dev)")
    endif()
endif()
