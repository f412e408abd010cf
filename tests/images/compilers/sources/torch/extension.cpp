// A PyTorch operator in C++, against the stable interface where this PyTorch has it: that compiles in a second.
#include <cstdint>

static int64_t twice(int64_t x) { return 2 * x; }

#if __has_include(<torch/csrc/stable/library.h>)
#include <torch/csrc/stable/library.h>
STABLE_TORCH_LIBRARY(slipway, m) { m.def("twice(int x) -> int"); }
STABLE_TORCH_LIBRARY_IMPL(slipway, CompositeExplicitAutograd, m) { m.impl("twice", TORCH_BOX(&twice)); }
#else
#include <torch/library.h>
TORCH_LIBRARY(slipway, m) { m.def("twice(int x) -> int", &twice); }
#endif
