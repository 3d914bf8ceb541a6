# The libraries we stand on; docs/decisions says why each. All are Debian packages.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(OpenSSL REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(Protobuf REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
# It asks for -pthread, which who includes its header does not need and precompiled headers refuse.
set_target_properties(PkgConfig::RE2 PROPERTIES INTERFACE_COMPILE_OPTIONS "")
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
find_package(tomlplusplus REQUIRED)

# BLAKE3: the reference C and assembly sources that Debian ships in librust-blake3-dev.
file(GLOB BLAKE3_DIR /usr/share/cargo/registry/blake3-*/c)
if(NOT BLAKE3_DIR)
  message(FATAL_ERROR "the BLAKE3 sources are missing: install librust-blake3-dev (./do setup)")
endif()
add_library(blake3 STATIC
  ${BLAKE3_DIR}/blake3.c ${BLAKE3_DIR}/blake3_dispatch.c ${BLAKE3_DIR}/blake3_portable.c
  ${BLAKE3_DIR}/blake3_sse2_x86-64_unix.S ${BLAKE3_DIR}/blake3_sse41_x86-64_unix.S
  ${BLAKE3_DIR}/blake3_avx2_x86-64_unix.S ${BLAKE3_DIR}/blake3_avx512_x86-64_unix.S)
target_include_directories(blake3 SYSTEM PUBLIC ${BLAKE3_DIR})

if(BLIXARD_TESTS)
  find_package(GTest REQUIRED)
  find_library(RAPIDCHECK rapidcheck REQUIRED)
endif()
if(BLIXARD_BENCHMARKS)
  find_package(benchmark REQUIRED)
endif()
