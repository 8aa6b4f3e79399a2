# SPDX-License-Identifier: Apache-2.0
# From COMPILER, INCLUDES and PRECOMPILED, the folder of the precompiled snug/plan.hpp: `command`, how a case is compiled, and what
# to add when its first include is that header.
get_filename_component(compiler_name "${COMPILER}" NAME)
if(compiler_name MATCHES "nvcc")
    set(command "${COMPILER}" -std=c++20 -x cu -ptx -o /dev/null)
else()
    set(command "${COMPILER}" -std=c++20 -Wall -Wextra -Wno-unknown-pragmas -fdiagnostics-color=never)
endif()
if(compiler_name MATCHES "clang")
    set(precompiled_file "${PRECOMPILED}/plan.pch")
    set(precompiled_use -include-pch "${precompiled_file}")
else()
    # Found beside the header, in a folder that is looked into first.
    set(precompiled_file "${PRECOMPILED}/snug/plan.hpp.gch")
    set(precompiled_use "-I${PRECOMPILED}")
endif()
list(TRANSFORM INCLUDES PREPEND -I)
