// Host code alone: links the CUDA libraries and asks each for its version.
#include <cstdio>
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cufft.h>
#include <nvrtc.h>

int main() {
    int cudart = 0, cublas = 0, cufft = 0, major = 0, minor = 0;
    cudaRuntimeGetVersion(&cudart);
    cublasGetProperty(MAJOR_VERSION, &cublas);
    cufftGetVersion(&cufft);
    nvrtcVersion(&major, &minor);
    std::printf("%d.%d %d.%d %d %d\n", cudart / 1000, cudart % 1000 / 10, major, minor, cublas > 0, cufft > 0);
}
