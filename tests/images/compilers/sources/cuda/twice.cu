// Doubles four numbers on the GPU; says what is wrong where there is none.
#include <cstdio>

__global__ void twice(float *x) { x[threadIdx.x] *= 2; }

int main() {
    float numbers[4] = {1, 2, 3, 4}, *x = nullptr;
    cudaMalloc(&x, sizeof numbers);
    cudaMemcpy(x, numbers, sizeof numbers, cudaMemcpyHostToDevice);
    twice<<<1, 4>>>(x);
    cudaMemcpy(numbers, x, sizeof numbers, cudaMemcpyDeviceToHost);
    cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) {
        std::printf("%s\n", cudaGetErrorString(error));
        return 1;
    }
    std::printf("%g %g %g %g\n", numbers[0], numbers[1], numbers[2], numbers[3]);
}
