// rocPRIM, hipCUB and rocThrust: libraries of headers alone.
#include <hipcub/hipcub.hpp>
#include <rocprim/rocprim.hpp>
#include <thrust/device_vector.h>
#include <thrust/sort.h>

void sort(thrust::device_vector<int> &numbers) { thrust::sort(numbers.begin(), numbers.end()); }
