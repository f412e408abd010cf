// Adds numbers with PyTorch's C++ library.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/sum.h>

#include <iostream>

int main() { std::cout << at::arange(4).sum().item<int>() << '\n'; }
