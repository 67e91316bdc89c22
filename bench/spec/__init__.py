"""The specification's benchmark, carried out: a process that emits spans, the receiver that receives them.

Every iteration is a fresh process on a CPU of its own; the receiver has another one.
The emitter does nothing but emit, so that its CPU time is the SDK's.
"""
