"""What the hardware sets. Nothing here needs Numba or a GPU."""

VECTOR_BYTES = 16  # one 128-bit load or store: what a thread moves at a time, and where it must begin
INT32_LIMIT = 2**31 - 1  # the largest index
MAX_IMAGES = 65535  # the grid's z axis; more images take more launches
BFLOAT16_CAPABILITY = (8, 0)  # the first GPUs with an instruction that rounds to bfloat16
VECTOR_REDUCTIONS = (9, 0)  # the first GPUs that add four float32 in memory at once
