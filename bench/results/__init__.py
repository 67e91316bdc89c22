"""Results folders: written, read back, sealed and verified.

Raw records are appended as they happen; everything else in a folder can be made again from them.
"""
