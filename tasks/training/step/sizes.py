"""How much of a pass stands in memory at once: what the passes keep to, and what memory is counted by."""

# Answer tokens whose logits stand in memory at once.
CHUNK = 256
# Rows of a chunk that are in fp32 at once.
ROWS = 16
# Bytes that the products of layers' inputs may take at once while adapters are started from them.
PRODUCTS = 2**29
