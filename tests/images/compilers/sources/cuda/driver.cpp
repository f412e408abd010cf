// Calls the driver, whose libraries the host brings.
#include <cuda.h>
#include <nvml.h>

int main() {
    CUdeviceptr memory = 0;
    return cuInit(0) || cuMemAlloc(&memory, 1) || nvmlInit() || nvmlShutdown();
}
