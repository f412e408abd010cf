// CCCL: Thrust and CUB are headers only.
#include <cub/block/block_reduce.cuh>
#include <thrust/device_vector.h>
#include <thrust/sort.h>

void sort(thrust::device_vector<int> &numbers) { thrust::sort(numbers.begin(), numbers.end()); }
