// The version in each library's header, then the one that the library tells.
#include <hip/hip_runtime.h>
#include <hipfft/hipfft.h>
#include <hiprand/hiprand.h>
#include <rccl/rccl.h>
#include <rocblas/rocblas.h>

#include <cstdio>

int main() {
    int hip = 0, fft = 0, rand = 0, rccl = 0;
    char blas[64] = "";
    if (hipRuntimeGetVersion(&hip) != hipSuccess) return 1;
    if (hipfftGetVersion(&fft) != HIPFFT_SUCCESS) return 2;
    if (hiprandGetVersion(&rand) != HIPRAND_STATUS_SUCCESS) return 3;
    if (ncclGetVersion(&rccl) != ncclSuccess) return 4;
    if (rocblas_get_version_string(blas, sizeof blas) != rocblas_status_success) return 5;
    // hipRAND's header is a patch behind its library.
    std::printf("hip %d %d\n", HIP_VERSION / 100000, hip / 100000);
    std::printf("hiprand %d %d\n", HIPRAND_VERSION / 100, rand / 100);
    std::printf("rccl %d %d\n", NCCL_VERSION_CODE, rccl);
    std::printf("rocblas %d.%d.%d %.6s\n", ROCBLAS_VERSION_MAJOR, ROCBLAS_VERSION_MINOR, ROCBLAS_VERSION_PATCH, blas);
    return 0;
}
