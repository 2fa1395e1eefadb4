"""The fast CUDA kernels on the usual encoder, three times, for a profiler to count:

ncu --clock-control none --metrics gpu__time_duration.sum,l1tex__t_sector_hit_rate.pct python -m benchmarks.profiled
"""

import defdetr_cuda
import torch

from benchmarks.workloads import WORKLOADS

CALLS = 3


def main() -> None:
    workload = WORKLOADS["encoder 800×1066, σ = 3 px"](0).to("cuda", torch.float32)
    for _ in range(CALLS):
        defdetr_cuda.forward(*workload.arguments, kernel="fast")
        defdetr_cuda.backward(workload.grad_output, *workload.arguments, kernel="fast")
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
