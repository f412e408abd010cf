#include <hip/hip_runtime.h>

#include <cstdio>

__global__ void twice(float *numbers) { numbers[threadIdx.x] *= 2; }

int main() {
    int devices = 0;
    hipError_t error = hipGetDeviceCount(&devices);
    if (error != hipSuccess) {
        std::printf("%s\n", hipGetErrorString(error));
        return 1;
    }
    float numbers[4] = {1, 2, 3, 4}, *memory;
    if (hipMalloc(&memory, sizeof numbers) != hipSuccess) return 2;
    if (hipMemcpy(memory, numbers, sizeof numbers, hipMemcpyHostToDevice) != hipSuccess) return 3;
    twice<<<1, 4>>>(memory);
    if (hipMemcpy(numbers, memory, sizeof numbers, hipMemcpyDeviceToHost) != hipSuccess) return 4;
    std::printf("%g %g %g %g\n", numbers[0], numbers[1], numbers[2], numbers[3]);
    return hipFree(memory) == hipSuccess ? 0 : 5;
}
