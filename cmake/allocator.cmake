# Who answers malloc in programs and benchmarks: docs/decisions/0010-allocator.md. Tests keep the
# system's, as sanitizers bring their own; the product asks malloc and knows none of them.
set(BLIXARD_ALLOCATOR "system" CACHE STRING "system, mimalloc or jemalloc")
set_property(CACHE BLIXARD_ALLOCATOR PROPERTY STRINGS system mimalloc jemalloc)

add_library(blx_allocator INTERFACE)
if(NOT BLIXARD_ALLOCATOR STREQUAL "system")
  if(NOT BLIXARD_ALLOCATOR MATCHES "^(mimalloc|jemalloc)$")
    message(FATAL_ERROR "BLIXARD_ALLOCATOR is system, mimalloc or jemalloc")
  endif()
  if(BLIXARD_SANITIZE)
    message(FATAL_ERROR "a sanitizer brings its own allocator: BLIXARD_ALLOCATOR=system")
  endif()
  find_library(BLIXARD_ALLOCATOR_${BLIXARD_ALLOCATOR} ${BLIXARD_ALLOCATOR} REQUIRED)
  # Nothing calls it by name, so the linker would leave it out.
  target_link_options(blx_allocator INTERFACE
    "LINKER:--push-state,--no-as-needed,${BLIXARD_ALLOCATOR_${BLIXARD_ALLOCATOR}},--pop-state")
endif()
