# blx_folder(path DEPS targets... [LIBS libraries...])
#
# Turns src/<path> into library blx_<path with _>: every .cc in it, its tests into one program
# <library>_test, its benchmarks into <library>_bench, which counts allocations, and each *_fuzz.cc
# into its own fuzzer.
# Tests may use more than the folder itself: TEST_DEPS.
function(blx_folder path)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS;TEST_DEPS" ${ARGN})
  string(REPLACE "/" "_" name ${path})
  set(library blx_${name})
  set(dir ${CMAKE_SOURCE_DIR}/src/${path})
  file(GLOB all CONFIGURE_DEPENDS ${dir}/*.cc)
  set(tests ${all})
  set(benches ${all})
  set(fuzzers ${all})
  set(sources ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cc$")

  list(TRANSFORM ARG_DEPS PREPEND blx_)
  list(TRANSFORM ARG_TEST_DEPS PREPEND blx_)
  if(sources)
    add_library(${library} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(${library} PRIVATE blx_warnings)
  else()
    add_library(${library} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${library} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(${library} ${scope} ${ARG_DEPS} ${ARG_LIBS})
  # Sites stand in env/ and below node/; observe/ tells whether there are any.
  if(BLIXARD_FAILPOINTS AND sources AND path MATCHES "^(observe$|env$|node)")
    target_compile_definitions(${library} PRIVATE BLX_FAILPOINTS)
  endif()

  if(BLIXARD_TESTS AND tests)
    add_executable(${library}_test ${tests})
    target_link_libraries(${library}_test PRIVATE ${library} ${ARG_TEST_DEPS} blx_test_main
                          blx_warnings)
    target_precompile_headers(${library}_test REUSE_FROM blx_test_header)
    target_compile_definitions(${library}_test PRIVATE
      BLX_SOURCE_DIR="${CMAKE_SOURCE_DIR}" BLX_BINARY_DIR="${CMAKE_BINARY_DIR}")
    add_test(NAME ${path} COMMAND ${library}_test)
    set_tests_properties(${path} PROPERTIES LABELS unit TIMEOUT 300)
  endif()
  if(BLIXARD_BENCHMARKS AND benches)
    add_executable(${library}_bench ${benches})
    target_link_libraries(${library}_bench PRIVATE ${library} ${ARG_TEST_DEPS}
                          blx_allocation_hook blx_allocator benchmark::benchmark_main
                          blx_warnings)
  endif()
  if(BLIXARD_FUZZERS)
    foreach(fuzzer ${fuzzers})
      get_filename_component(stem ${fuzzer} NAME_WE)
      add_executable(${stem} ${fuzzer})
      target_compile_options(${stem} PRIVATE -fsanitize=fuzzer)
      target_link_options(${stem} PRIVATE -fsanitize=fuzzer)
      target_link_libraries(${stem} PRIVATE ${library} ${ARG_TEST_DEPS} blx_warnings)
    endforeach()
  endif()
endfunction()
