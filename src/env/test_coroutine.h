#pragma once

// For tests that are coroutines, where ASSERT_* cannot return.

#include <gtest/gtest.h>

// ASSERT_TRUE for coroutines: CO_ASSERT(log, << log.error().message()).
#define CO_ASSERT(condition, ...)                     \
  do {                                                \
    if (!(condition)) {                               \
      ADD_FAILURE() << #condition << " " __VA_ARGS__; \
      co_return;                                      \
    }                                                 \
  } while (false)
