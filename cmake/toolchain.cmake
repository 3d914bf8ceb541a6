# Language level, warnings, linker, cache: what every object of ours is built with.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g1")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(CCACHE ccache)
if(CCACHE)
  # The precompiled header's time stamp would defeat the cache.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
else()
  add_link_options(-fuse-ld=lld)
endif()

if(BLIXARD_SANITIZE)
  add_compile_options(-fsanitize=${BLIXARD_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  # Its check of an object opens a pipe, and so misfires in a test that uses up all descriptors.
  add_compile_options(-fno-sanitize=vptr)
  add_link_options(-fsanitize=${BLIXARD_SANITIZE})
endif()

# A fuzzer sees its way only through code that counts where it went.
if(BLIXARD_FUZZERS)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Third-party and generated code is built without these; everything of ours with them.
add_library(blx_warnings INTERFACE)
target_compile_options(blx_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wno-sign-conversion
  -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual -Wunused -Wimplicit-fallthrough
  -Wthread-safety -Wno-missing-designated-field-initializers -Wno-missing-field-initializers)
