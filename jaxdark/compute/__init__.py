"""Programs and processors, no physics: compiled and kept programs, batches over devices, chunks over a cluster."""
