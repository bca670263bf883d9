"""How much of a pass is computed at once. Without torch, as the memory estimate counts with the same numbers."""

# Answer tokens whose logits are in memory at once.
CHUNK = 256
# Rows of a chunk that are in fp32 at once.
ROWS = 16
# Bytes that QERA's products of layer inputs may take at once.
PRODUCT_BYTES = 2**29
